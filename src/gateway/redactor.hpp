// Redactor: takes out of texts what should not be kept: secrets, and what tells who somebody is. A match is replaced by its kind in brackets:
//
//   "write to ann@example.com or +49 30 901820"  →  "write to [email] or [phone]"
//
// secrets  what log::redact knows: keys that announce themselves, bearer tokens, `password: …`; and members of objects whose names say it
// email    ADDRESS@DOMAIN.TLD
// phone    +COUNTRY …, 00COUNTRY …, (NXX) NXX-XXXX, and national ones that begin with 0 and are written in groups
// card     13 to 19 digits of a known issuer that pass Luhn's check (ISO/IEC 7812-1)
// iban     of a known country's length, passing mod 97 (ISO 13616)
// ip       IPv4, IPv6
// ssn      of the US: three, two and four digits with separators, in the ranges that are given out
// A pattern of one's own is a regular expression (ECMA-262) under a count of steps; a text for which that is not enough is hidden whole.
//
// It is pattern matching: names, addresses in words and what is misspelt stay. One pass, linear in the text but for own patterns.
// Immutable; thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::gateway {

enum class Sensitive : std::uint8_t { secrets = 1, email = 2, phone = 4, card = 8, iban = 16, ip = 32, ssn = 64 };
std::optional<Sensitive> sensitive_from(std::string_view name);

class Redactor {
 public:
  struct Own {
    std::string name, pattern;               // [a-z0-9_]{1,32}; a regular expression of at most 1 KiB that matches something
  };
  static constexpr std::uint8_t kAll = 127;
  static constexpr std::size_t kMostOwn = 32;
  // `kinds`: bits of Sensitive. caller_invalid_request, with the name of an own one in `field`.
  static Result<std::shared_ptr<const Redactor>> create(std::uint8_t kinds = kAll, std::vector<Own> own = {});
  ~Redactor();

  // `in` is UTF-8.
  std::string text(std::string_view in) const;
  std::optional<std::string> changed(std::string_view in) const;   // the same; nothing where nothing was replaced
  // The texts and member names of a document, also of JSON inside its texts. Media in base64 and long rows of numbers become notes of their
  // type and size. True: something was replaced.
  bool document(json::value& value) const;

 private:
  struct Pattern;
  class Walk;
  Redactor();
  std::optional<std::string> own(std::string_view text) const;

  std::uint8_t kinds_ = kAll;
  std::vector<Pattern> own_;
};

// The pass over what has a form of its own: every kind but secrets (redactor_forms.cpp). Nothing: nothing was replaced.
std::optional<std::string> hide_forms(std::string_view in, std::uint8_t kinds);

}  // namespace ballast::gateway
