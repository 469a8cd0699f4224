#include "app/access.hpp"

#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <semaphore>

#include "app/backup.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"
#include "gateway/shared_books.hpp"
#include "records/journal.hpp"

namespace ballast::app {

void add_access_flags(CLI::App& command, AccessFlags& flags) {
  command.add_option("-c,--config", flags.config, "Configuration file (default: ./ballast.yaml if there).")->envname("BALLAST_CONFIG");
  command.add_option("--server", flags.server, "Base URL of the server (default: the configuration's `listen`).")->envname("BALLAST_SERVER");
  command.add_option("--key", flags.key, "Admin key (default: the configuration's `admin_key`).")->envname("BALLAST_ADMIN_KEY");
  command.add_flag("--json", flags.json, "Print JSON.");
}

namespace {

struct Asked {
  std::string method;
  net::Url url;
  std::string key, body;
  Duration patience;
};

Task<void> ask(net::Client& client, net::Loop& loop, const Asked& asked, Result<std::pair<int, std::string>>& answer,
               std::binary_semaphore& done) {
  net::ClientRequest request{.method = asked.method, .url = &asked.url};
  if (!asked.key.empty()) request.headers.put("authorization", "Bearer " + asked.key);
  const std::string_view pieces[] = {asked.body};
  if (!asked.body.empty()) {
    request.headers.put("content-type", "application/json");
    request.body = pieces;
  }
  auto response = co_await client.send(loop, request, {.connect = std::chrono::seconds(2), .headers = asked.patience}, nullptr);
  if (!response) {
    answer = fail(std::move(response.error()));
  } else {
    const int status = (*response)->head().status;
    auto body = co_await (*response)->read_all(64u << 20, loop.clock().mono() + std::chrono::seconds(60));
    if (body) answer = std::pair(status, std::move(*body));
    else answer = fail(std::move(body.error()));
  }
  response = fail(ErrorCode::internal_error, "");  // gives the connection back before the loops stop
  done.release();
}

// What the problem says is wrong: a member of the body, a parameter.
std::string field_of(const json::value& body) {
  const auto* o = body.if_object();
  const auto* field = o ? o->if_contains("field") : nullptr;
  return field && field->is_string() ? std::string(field->get_string()) : std::string();
}

// The message in an error of any of our API's shapes.
std::string message_of(const json::value& body, int status) {
  const auto text = [](const json::value& v) -> std::optional<std::string> {
    if (const auto* s = v.if_string()) return std::string(*s);
    return std::nullopt;
  };
  if (const auto* o = body.if_object()) {
    if (const auto* e = o->if_contains("error")) {
      if (const auto s = text(*e)) return *s;
      if (const auto* inner = e->if_object())
        if (const auto* m = inner->if_contains("message"); m && text(*m)) return *text(*m);
    }
    for (const char* name : {"detail", "message", "title"})
      if (const auto* m = o->if_contains(name); m && text(*m)) return *text(*m);
  }
  return fmt::format("the server answered {}", status);
}

}  // namespace

Access::~Access() {
  client_.reset();
  if (loops_) loops_->stop();
}

Result<std::pair<int, std::string>> Access::send(std::string_view method, const std::string& target, const std::string& body, Duration patience) {
  auto url = net::parse_url(server_ + target, "--server");
  if (!url) return fail(std::move(url.error()));
  const Asked asked{std::string(method), std::move(*url), key_, body, patience};
  Result<std::pair<int, std::string>> answer = fail(ErrorCode::internal_error, "no answer");
  std::binary_semaphore done(0);
  net::Loop& loop = loops_->at(0);
  loop.post([&] {
    detach(ask(*client_, loop, asked, answer, done), [](std::exception_ptr) { std::terminate(); });
  });
  done.acquire();
  return answer;
}

namespace {

constexpr Duration kSilence = std::chrono::minutes(2);   // between two pieces of a long answer

Error refusal_of(int status, const std::string& text) {
  const auto document = parse_json(text);
  return {status == 404 ? ErrorCode::caller_not_found : ErrorCode::caller_forbidden,
          document ? message_of(*document, status) : fmt::format("the server answered {}", status), document ? field_of(*document) : std::string()};
}

Task<Result<std::uint64_t>> fetch_pieces(net::Client& client, net::Loop& loop, const net::Url& url, std::string_view key,
                                         const std::function<bool(std::string_view)>& take, CancelToken cancel = nullptr) {
  net::ClientRequest request{.method = "GET", .url = &url};
  if (!key.empty()) request.headers.put("authorization", fmt::format("Bearer {}", key));
  auto response = co_await client.send(loop, request, {.connect = std::chrono::seconds(2), .headers = kSilence}, cancel);
  if (!response) co_return fail(std::move(response.error()));
  if (const int status = (*response)->head().status; status != 200) {
    auto text = co_await (*response)->read_all(1u << 20, loop.clock().mono() + kSilence);
    co_return fail(refusal_of(status, text.value_or("")));
  }
  for (std::uint64_t bytes = 0;;) {
    const auto piece = co_await (*response)->read_some(loop.clock().mono() + kSilence);
    if (!piece) co_return fail(piece.error());
    if (piece->empty()) co_return bytes;
    bytes += piece->size();
    if (!take(*piece)) co_return fail(ErrorCode::internal_unavailable, "what came could not be written");
  }
}

Task<void> download_and_tell(net::Client& client, net::Loop& loop, const net::Url& url, std::string_view key,
                             const std::function<bool(std::string_view)>& take, Result<std::uint64_t>& answer, std::binary_semaphore& done) {
  answer = co_await fetch_pieces(client, loop, url, key, take);
  done.release();
}

}  // namespace

Result<std::uint64_t> Access::download(const std::string& target, const std::function<bool(std::string_view)>& take) {
  const auto url = net::parse_url(server_ + target, "--server");
  if (!url) return fail(url.error());
  Result<std::uint64_t> answer = fail(ErrorCode::internal_error, "no answer");
  std::binary_semaphore done(0);
  net::Loop& loop = loops_->at(0);
  loop.post([&] { detach(download_and_tell(*client_, loop, *url, key_, take, answer, done), [](std::exception_ptr) { std::terminate(); }); });
  done.acquire();
  return answer;
}

namespace {

class StreamOfEvents final : public Follow {
 public:
  StreamOfEvents(net::Client& client, net::Loop& loop, net::Url url, std::string key, std::function<void(std::string_view)> take)
      : client_(client), loop_(loop), url_(std::move(url)), key_(std::move(key)), take_([take = std::move(take)](std::string_view piece) { return take(piece), true; }) {
    loop_.post([this] { detach(run(), [](std::exception_ptr) { std::terminate(); }); });
  }
  ~StreamOfEvents() override {
    std::binary_semaphore told(0);
    loop_.post([&] {
      cancel_.cancel();
      told.release();
    });
    told.acquire();
    ended_.acquire();
  }
  bool over() const override { return over_.load(std::memory_order_acquire); }
  std::string why() const override { return over() ? why_ : std::string(); }

 private:
  Task<void> run() {
    const auto read = co_await fetch_pieces(client_, loop_, url_, key_, take_, &cancel_);
    why_ = read ? "the server ended it" : read.error().message;
    over_.store(true, std::memory_order_release);
    ended_.release();
  }

  net::Client& client_;
  net::Loop& loop_;
  const net::Url url_;
  const std::string key_;
  const std::function<bool(std::string_view)> take_;
  CancelSource cancel_;                  // of the loop alone
  std::string why_;                      // written before over_
  std::atomic<bool> over_{false};
  std::binary_semaphore ended_{0};
};

}  // namespace

std::unique_ptr<Follow> Access::follow(const std::string& target, std::function<void(std::string_view)> take) {
  auto url = net::parse_url(server_ + target, "--server");
  if (!url) return nullptr;
  return std::make_unique<StreamOfEvents>(*client_, loops_->at(0), std::move(*url), key_, std::move(take));
}

Result<json::value> Access::call(std::string_view method, const std::string& target, std::optional<json::value> body) {
  const auto answer = send(method, target, body ? to_json(*body) : std::string());
  if (!answer) return fail(answer.error());
  const auto& [status, text] = *answer;
  auto document = text.empty() ? Result<json::value>(json::object{}) : parse_json(text, {.max_bytes = 64u << 20});
  if (status >= 200 && status < 300) return document;
  std::string message = document ? message_of(*document, status) : fmt::format("the server answered {}", status);
  if (status == 401) message += key_.empty() ? " (give --key or set BALLAST_ADMIN_KEY)" : " (is --key this server's?)";
  return fail(status == 404 ? ErrorCode::caller_not_found : ErrorCode::caller_forbidden, std::move(message), document ? field_of(*document) : std::string());
}

Result<void> Access::open_database() {
  namespace fs = std::filesystem;
  if (config_.database.starts_with("sqlite:")) {
    const std::string file = config_.database.substr(7);
    std::error_code ignored;
    if (const auto folder = fs::path(file).parent_path(); !folder.empty()) fs::create_directories(folder, ignored);
  }
  auto database = store::open_database(config_.database);
  if (!database) return fail(std::move(database.error()));
  if (auto migrated = (*database)->migrate(all_migrations()); !migrated) return migrated;
  // Calls that a killed server left in its journal belong to the answer. A journal in use is imported by its owner.
  const std::string folder = config_.data_dir + "/journal";
  if (fs::exists(folder)) {
    if (auto journal = records::CallJournal::open({.directory = folder, .segment_bytes = 1u << 20, .charged = gateway::note_charges})) {
      if (auto imported = (*journal)->import_all(**database); !imported) complain(imported.error());
    }
  }
  database_ = std::move(*database);
  return {};
}

Result<std::unique_ptr<Access>> Access::open(const AccessFlags& flags, int& code, Without without) {
  code = kFailed;
  auto access = std::unique_ptr<Access>(new Access);
  auto config = load_config(flags.config, system_environment());
  if (!config && flags.server.empty()) {
    code = kBadConfig;
    return fail(std::move(config.error()));
  }
  if (config) access->config_ = std::move(*config);
  ListenAddress listen = access->config_.listen;
  if (listen.host == "0.0.0.0" || listen.host == "::") listen.host = "127.0.0.1";
  const std::string scheme = access->config_.tls_cert.empty() ? "http://" : "https://";
  access->server_ = flags.server.empty() ? scheme + to_string(listen) : flags.server;
  while (access->server_.ends_with('/')) access->server_.pop_back();
  access->key_ = flags.key.empty() ? access->config_.admin_key : flags.key;
  access->loops_ = std::make_unique<net::LoopGroup>(1, access->clock_);
  access->loops_->start();
  access->client_ = std::make_unique<net::Client>(*access->loops_, net::ClientOptions{.tls = {.verify = flags.server.starts_with("https")}});
  const auto alive = access->send("GET", "/healthz", {});
  if (alive) {
    std::fprintf(stderr, "from the server at %s\n", access->server_.c_str());
    return access;
  }
  if (!flags.server.empty() || without == Without::nothing) return fail(alive.error().code, fmt::format("no server answers at {}: {}", access->server_, alive.error().message));
  std::fprintf(stderr, "no server answers at %s; from the database itself\n", access->server_.c_str());
  if (auto opened = access->open_database(); !opened) return fail(std::move(opened.error()));
  return access;
}

Result<void> need_server(Access& access) {
  if (!access.database()) return {};
  return fail(ErrorCode::internal_unavailable, "no server answers: jobs run in one, so this needs it; start `ballast serve`, or name it with --server");
}

int ask_and_tell(const AccessFlags& flags, const std::function<Result<json::value>(Access&)>& ask,
                 const std::function<void(const json::value&)>& tell) {
  int code = kFailed;
  std::optional<Progress> progress(std::in_place, "waiting for the answer", flags.json);
  auto access = Access::open(flags, code);
  if (!access) {
    progress.reset();
    complain(access.error());
    return code;
  }
  const auto answer = ask(**access);
  progress.reset();
  if (!answer) {
    complain(answer.error());
    const std::string& field = answer.error().field;
    const bool operand = !field.empty() && field.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
    return operand || field.starts_with("--") ? kUsage : kFailed;
  }
  if (flags.json) std::cout << to_json(*answer) << '\n';
  else tell(*answer);
  return kOk;
}

}  // namespace ballast::app
