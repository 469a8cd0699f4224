// SecretValues: values that were given by name (environment, configuration) and must not be seen where the text they went into is shown or kept.
//
//   SecretValues secrets;
//   secrets.add("HOOK", "https://hooks.example/services/T01/abc123");
//   secrets.hide("POST https://hooks.example/services/T01/abc123 is refused");    // "POST https://hooks.example/[redacted:HOOK] is refused"
//
// Beside `log::redact`, which knows what looks like a credential: this one knows the very values, whatever they look like. Of a value that is a URL the
// origin is no secret: user information, path and query are. Values under kLeast bytes are not hidden: they would be found everywhere.
// A value is found as it is, percent-encoded in part or altogether, and as JSON writes it; not hashed, in Base64 or cut in two.
// Values copy; const is thread-safe.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"

namespace ballast {

class SecretValues {
 public:
  static constexpr std::size_t kLeast = 6;   // bytes
  // API_TOKEN, db_password; not REGION.
  static bool is_secret_name(std::string_view name);
  void add(std::string_view name, std::string_view value);
  bool empty() const { return known_.empty(); }
  // `text` with every value replaced by "[redacted:NAME]"; where two begin at the same place, the longer one.
  std::string hide(std::string_view text) const;
  // In the texts of `value`, its members' names left alone: the values whose names say that they are secret. For data, where an ordinary word must not
  // be lost.
  void hide_named(json::value& value) const;

 private:
  struct Known {
    std::string name, value;
    bool named = false;                      // its name says that it is secret
  };
  void add_part(std::string_view name, std::string_view value);
  std::string hidden(std::string_view text, bool only_named) const;

  std::vector<Known> known_;                 // the longest first
};

}  // namespace ballast
