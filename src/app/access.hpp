// Access: how `explain`, `keys`, `usage` and `budgets` reach the records: through the running server's HTTP API, or, when none answers,
// in the database itself. Which of the two is said on standard error.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "app/config.hpp"
#include "base/json.hpp"
#include "net/client.hpp"
#include "store/database.hpp"

namespace CLI {
class App;
}

namespace ballast::app {

struct AccessFlags {
  std::string config, server, key;
  bool json = false;
};
// --config, --server, --key, --json, with their environment variables.
void add_access_flags(CLI::App& command, AccessFlags& flags);

// A GET whose answer has no end.
class Follow {
 public:
  virtual ~Follow() = default;                       // breaks it off; `take` is not called any more
  virtual bool over() const = 0;                     // it was refused, or broke off
  virtual std::string why() const = 0;               // in words, once it is over
};

// Blocking; for command-line tools only.
class Access {
 public:
  // What is left where no server answers: the database, which is brought up to date for that; or nothing, which is an error.
  enum class Without : std::uint8_t { database, nothing };
  // With --server there is no falling back. Errors: the configuration's, or the database's. `code` is the exit code then.
  static Result<std::unique_ptr<Access>> open(const AccessFlags& flags, int& code, Without without = Without::database);
  ~Access();

  // Non-null: no server answers, work here.
  store::Database* database() { return database_.get(); }
  // The server's answer to METHOD TARGET; an error carries its message. Only when `database()` is null.
  Result<json::value> call(std::string_view method, const std::string& target, std::optional<json::value> body = {});
  // The same, for who reads every answer: status and body. An error only where none came, whose head is awaited for `patience`.
  Result<std::pair<int, std::string>> send(std::string_view method, const std::string& target, const std::string& body,
                                           Duration patience = std::chrono::seconds(30));
  // GET of what may be long: `take` gets it piece by piece, on another thread while this one waits; false: enough. Returns how many bytes came; an
  // error also where the server broke off.
  Result<std::uint64_t> download(const std::string& target, const std::function<bool(std::string_view)>& take);
  // A stream of events that comes while this thread goes on: `take` gets its pieces on another one. Gone with the Follow, which the Access outlives.
  std::unique_ptr<Follow> follow(const std::string& target, std::function<void(std::string_view)> take);
  const Config& config() const { return config_; }
  const std::string& server() const { return server_; }     // its base URL

 private:
  Access() = default;
  Result<void> open_database();

  Config config_;
  std::string server_, key_;
  SystemClock clock_;
  std::unique_ptr<net::LoopGroup> loops_;
  std::unique_ptr<net::Client> client_;
  std::unique_ptr<store::Database> database_;
};

// internal_unavailable when no server answers, for what only a running one can do.
Result<void> need_server(Access& access);

// A command that asks for one value: opens, asks, and prints the answer as JSON, or for people by `tell`. Returns the exit code:
// kUsage where the error's field is a flag ("--…") or an operand, which are in capitals.
int ask_and_tell(const AccessFlags& flags, const std::function<Result<json::value>(Access&)>& ask,
                 const std::function<void(const json::value&)>& tell);

}  // namespace ballast::app
