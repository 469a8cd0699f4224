// A private PostgreSQL server for tests: Debian's binaries, a data directory of its own, a unix socket, no TCP.
// BALLAST_TEST_POSTGRES names one that a run of many processes shares (tests/support/postgres.py starts it): each has a database of its
// own there. Without it, and for tests that stop the server, one per process, started at first use; it dies with the process. Initialising
// takes a second, so the empty cluster is kept as a template in the temporary directory and copied. As root it runs as the user postgres.
#pragma once
#include <fcntl.h>
#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "store/database.hpp"

namespace ballast::test {

inline constexpr const char* kNoPostgres = "PostgreSQL 15 is not installed (apt-get install postgresql-15)";

class Postgres {
 public:
  // Null when PostgreSQL is not installed or cannot be started: tests say so and skip.
  static Postgres* instance() {
    static const char* const folder = std::getenv("BALLAST_TEST_POSTGRES");
    if (folder == nullptr || *folder == '\0') return own();
    static Postgres shared{std::string(folder)};
    return &shared;
  }
  // This process's, which a test may stop. Null as above.
  static Postgres* own() {
    static std::optional<Postgres> server;
    static const bool usable = [] {
      if (!std::filesystem::exists(binary("postgres"))) return false;
      server.emplace();
      return server->start();
    }();
    return usable ? &*server : nullptr;
  }
  Postgres() {
    char pattern[] = "/tmp/ballast-pg-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    if (::geteuid() == 0)
      if (const passwd* user = ::getpwnam("postgres")) {
        uid_ = user->pw_uid;
        gid_ = user->pw_gid;
        (void)!::chown(directory_.c_str(), *uid_, gid_);
      }
  }
  // The server at `folder`, which another process started and ends.
  explicit Postgres(std::string folder) : directory_(std::move(folder)), database_("process" + std::to_string(::getpid())), shared_(true) {
    administer("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)");   // of a process that died and had the same number
    administer("CREATE DATABASE " + database_);
  }
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;
  ~Postgres() {
    if (shared_) {
      administer("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)");
      return;
    }
    stop(SIGQUIT);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  // The URL of a fresh, empty schema on this server.
  std::string fresh_url() {
    static std::atomic<int> next{0};
    const std::string schema = "t" + std::to_string(::getpid()) + "_" + std::to_string(++next);
    return run("CREATE SCHEMA " + schema) ? url() + "&options=-csearch_path%3D" + schema : "";
  }
  bool start() {
    if (!prepare()) return false;
    server_ = spawn({binary("postgres"), "-D", directory_ + "/data", "-k", directory_, "-c", "listen_addresses=", "-c", "fsync=off", "-c",
                     "max_connections=60", "-c", "shared_buffers=16MB", "-c", "log_min_messages=panic"});
    return server_ > 0 && run("SELECT 1");
  }
  // Ends every client's session but the one that asks.
  bool end_sessions() { return run("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"); }
  // SIGQUIT: as in a crash. SIGINT: politely.
  void stop(int signal) {
    if (server_ <= 0) return;
    ::kill(server_, signal);
    ::waitpid(server_, nullptr, 0);
    server_ = 0;
  }

 private:
  std::string url() const { return "postgres://ballast@/" + database_ + "?host=" + directory_; }
  bool run(const std::string& sql) const {
    auto db = store::open_database(url(), {.readers = 1});
    return db && (*db)->write_now([&](store::Tx& tx) -> Result<void> {
      auto done = tx.run(store::Statement(std::string_view(sql)));
      if (!done) return std::unexpected(done.error());
      return {};
    }, {.limit = std::chrono::seconds(30)});
  }
  // What no transaction may hold. A failure is told, and seen by whoever then opens the database.
  void administer(const std::string& sql) const {
    PGconn* connection = ::PQconnectdb(("host=" + directory_ + " user=ballast dbname=postgres options=-cclient_min_messages=warning").c_str());
    PGresult* result = ::PQexec(connection, sql.c_str());
    if (::PQresultStatus(result) != PGRES_COMMAND_OK) std::fprintf(stderr, "%s: %s", sql.c_str(), ::PQerrorMessage(connection));
    ::PQclear(result);
    ::PQfinish(connection);
  }
  static std::string binary(const std::string& name) { return "/usr/lib/postgresql/15/bin/" + name; }

  pid_t spawn(const std::vector<std::string>& command) const {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    if (uid_ && (::setgid(gid_) != 0 || ::setuid(*uid_) != 0)) ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    std::vector<char*> argv;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    if (::chdir(directory_.c_str()) == 0) ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  bool finish(pid_t pid) const {
    int status = 1;
    return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
  }
  bool prepare() {
    if (std::filesystem::exists(directory_ + "/data")) return true;
    const std::string base = "/tmp/ballast-pg-template-" + std::to_string(::geteuid());
    ::mkdir(base.c_str(), 0700);
    if (uid_) (void)!::chown(base.c_str(), *uid_, gid_);
    const int lock = ::open((base + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ::flock(lock, LOCK_EX);
    bool good = std::filesystem::exists(base + "/ready");
    if (!good) {
      std::error_code ignored;
      std::filesystem::remove_all(base + "/data", ignored);
      good = finish(spawn({binary("initdb"), "-D", base + "/data", "-A", "trust", "-U", "ballast", "--no-sync", "-E", "UTF8", "--locale=C"}));
      if (good) ::close(::open((base + "/ready").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    ::close(lock);
    return good && finish(spawn({"/bin/cp", "-a", base + "/data", directory_ + "/data"}));
  }

  std::string directory_, database_ = "postgres";
  bool shared_ = false;
  std::optional<uid_t> uid_;
  gid_t gid_ = 0;
  pid_t server_ = 0;
};

}  // namespace ballast::test
