// ConfigNode: one place in a YAML file, read once at start-up by the module that owns the section.
//
//   auto root = parse_config(text, "ballast.yaml", system_environment());
//   if (!root) …                                                   // YAML syntax: "ballast.yaml:12:5: …"
//   options.listen  = root->string("listen", "127.0.0.1:8080");
//   options.timeout = root->duration("timeout", 10s);
//   for (ConfigNode target : root->list("targets")) …
//   root->done();                                                  // keys nobody asked for are errors
//   if (auto ok = root->check(); !ok) return fail(ok.error());     // every problem of the file, one per line
//
// Getters never fail: a bad value is recorded in the document (with file, line, column, path) and the default is returned, so
// that one run of `ballast check` reports every mistake. `check()` is therefore mandatory before the values are used.
// `done()` on each map: `12:5: routes.chat.timout is an unknown key, did you mean "timeout"?`, from the keys that were asked for.
//
// ${NAME} inside a value is replaced from the environment, ${NAME:-default} when NAME is unset or empty (the default
// ends at the first }), $${ is a literal ${.
// It is replaced after parsing, so that a secret cannot change the structure, and works unquoted inside {…} and […].
// An unset name is an error where the value is read, naming it; comments are ignored.
//
// Copyable; copies share the document. Not thread-safe: parse, read and drop it on one thread.
// Limits: 4 MB of text, 64 levels, 200,000 nodes after aliases. A repeated key is an error.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/money.hpp"
#include "base/result.hpp"

namespace ballast {

using EnvLookup = std::function<std::optional<std::string>(std::string_view name)>;
EnvLookup system_environment();  // getenv NAME; else the contents of the file that NAME_FILE names, else the credential NAME or ballast_NAME of systemd; 64 KB at most
EnvLookup fixed_environment(std::map<std::string, std::string> values);    // tests

// "600/m": so many per second, minute, hour or day.
struct Rate {
  std::uint64_t count = 0;
  Duration per{};
  friend bool operator==(const Rate&, const Rate&) = default;
};

// The forms of values, also for flags and headers. Errors: caller_invalid_request naming `field`.
Result<Duration> parse_duration(std::string_view text, std::string_view field = {});  // "250ms", "1.5s", "10m", "2h", "7d", "0"
Result<std::uint64_t> parse_size(std::string_view text, std::string_view field = {});  // "512", "32KB", "10MB", "1GB" (powers of 1024)
Result<Money> parse_money(std::string_view text, std::string_view field = {});         // "$5", "5", "$0.25"
Result<Rate> parse_rate(std::string_view text, std::string_view field = {});           // "10/s", "600/m", "5/h", "100/d"
Result<WallTime> parse_time(std::string_view text, std::string_view field = {});       // UTC: "2026-11-21", "2026-11-21T04:00:00Z"
std::string format_duration(Duration d);                                               // "250ms", "1500us", "10s"

// One mistake in a file. `message` goes on after the field: "must be a map", "is an unknown key".
struct ConfigMistake {
  std::string file;
  int line = 0, column = 0;  // from 1; 0: not known
  std::string field;         // "routes.chat.targets[0]"; empty: the file as a whole
  std::string message;
  friend bool operator==(const ConfigMistake&, const ConfigMistake&) = default;
};
std::string to_string(const ConfigMistake& mistake);  // "ballast.yaml:12:5: routes.chat must be a map", as editors and compilers have it

class ConfigNode {
 public:
  ConfigNode();  // absent: every getter returns its default

  bool exists() const;  // present and not null
  bool is_map() const;
  bool is_list() const;
  bool is_scalar() const;
  std::string path() const;   // "routes.chat.targets[0]", empty at the root
  std::string where() const;  // "ballast.yaml:12:5"
  int line() const;           // from 1
  int column() const;         // from 1

  // This scalar itself (a list's element); the default is for an absent or bad value.
  std::string as_string(std::string_view fallback = {}) const;
  std::int64_t as_int(std::int64_t fallback = 0, std::int64_t low = INT64_MIN, std::int64_t high = INT64_MAX) const;
  bool as_bool(bool fallback = false) const;
  double as_double(double fallback = 0) const;
  Duration as_duration(Duration fallback = {}) const;
  std::uint64_t as_size(std::uint64_t fallback = 0) const;
  Money as_money(Money fallback = {}) const;
  Rate as_rate(Rate fallback = {}) const;

  // The member `key`, perhaps absent. Asking makes the key known to `done()`.
  ConfigNode get(std::string_view key) const;
  bool has(std::string_view key) const { return get(key).exists(); }
  // Recorded as an error when missing.
  ConfigNode require(std::string_view key) const;

  std::string string(std::string_view key, std::string_view fallback = {}) const { return get(key).as_string(fallback); }
  std::int64_t integer(std::string_view key, std::int64_t fallback = 0, std::int64_t low = INT64_MIN, std::int64_t high = INT64_MAX) const { return get(key).as_int(fallback, low, high); }
  bool boolean(std::string_view key, bool fallback = false) const { return get(key).as_bool(fallback); }
  double number(std::string_view key, double fallback = 0) const { return get(key).as_double(fallback); }
  Duration duration(std::string_view key, Duration fallback = {}) const { return get(key).as_duration(fallback); }
  std::uint64_t size(std::string_view key, std::uint64_t fallback = 0) const { return get(key).as_size(fallback); }
  Money money(std::string_view key, Money fallback = {}) const { return get(key).as_money(fallback); }
  Rate rate(std::string_view key, Rate fallback = {}) const { return get(key).as_rate(fallback); }
  // A scalar among `allowed`; an unlisted word is an error with the nearest one.
  std::string choice(std::string_view key, std::initializer_list<std::string_view> allowed, std::string_view fallback) const;

  // Elements in order. An absent key is empty; a scalar is an error for `list`, a list of one for `list_or_one`.
  std::vector<ConfigNode> items() const;
  std::vector<ConfigNode> list(std::string_view key) const { return get(key).items(); }
  std::vector<ConfigNode> list_or_one(std::string_view key) const;
  std::vector<std::string> strings(std::string_view key) const;
  // Members in file order, for maps with free names (`providers`): all of them count as known.
  std::vector<std::pair<std::string, ConfigNode>> members() const;
  std::vector<std::pair<std::string, ConfigNode>> map(std::string_view key) const { return get(key).members(); }

  // This subtree as JSON (YAML 1.2 core types, environment substituted): schemas, free-form answers.
  json::value to_json() const;

  // Records every member that nobody asked for. `expect_keys` names them beforehand instead.
  void done() const;
  void expect_keys(std::initializer_list<std::string_view> keys) const;
  // Records a mistake at this place that only its module can see: "weight must not be negative".
  void problem(std::string_view message) const;

  // What was recorded anywhere in the document so far: nothing, or caller_invalid_request with one line per problem in file order.
  // Each line names its own field, so the error has none.
  Result<void> check() const;
  std::vector<std::string> problems() const;
  std::vector<ConfigMistake> mistakes() const;

 private:
  struct Document;
  struct Item;
  ConfigNode(std::shared_ptr<Document> document, Item* item);
  friend struct ConfigParser;
  std::optional<std::string> scalar(std::string_view wanted) const;
  template <class T, class Parse>
  T parsed(std::string_view wanted, T fallback, Parse parse) const;

  std::shared_ptr<Document> document_;  // null: absent, outside any document
  Item* item_ = nullptr;                // owned by the document; absent members have an item too, for path and problem()
};

// Parses one YAML document. `file` is for messages. An empty text is an empty map. Error: caller_invalid_request, with file, line and column;
// `mistake` (may be null) receives it as a value.
Result<ConfigNode> parse_config(std::string_view text, std::string file, EnvLookup environment, ConfigMistake* mistake = nullptr);

}  // namespace ballast
