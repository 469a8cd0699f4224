#include "schema/formats.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hpp"
#include "schema/pattern.hpp"

namespace ballast::schema {

namespace {

constexpr std::array<std::pair<std::string_view, Format>, 19> kNames{{
    {"date-time", Format::date_time}, {"date", Format::date}, {"time", Format::time}, {"duration", Format::duration}, {"email", Format::email},
    {"idn-email", Format::idn_email}, {"hostname", Format::hostname}, {"idn-hostname", Format::idn_hostname}, {"ipv4", Format::ipv4},
    {"ipv6", Format::ipv6}, {"uri", Format::uri}, {"uri-reference", Format::uri_reference}, {"iri", Format::iri},
    {"iri-reference", Format::iri_reference}, {"uuid", Format::uuid}, {"uri-template", Format::uri_template},
    {"json-pointer", Format::json_pointer}, {"relative-json-pointer", Format::relative_json_pointer}, {"regex", Format::regex},
}};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'z'; }
bool hex(char c) { return digit(c) || (to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'f'); }
bool beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// Takes exactly `n` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t n) {
  if (text.size() < n || !std::ranges::all_of(text.substr(0, n), digit)) return std::nullopt;
  const auto value = parse_int<int>(text.substr(0, n));
  text.remove_prefix(n);
  return value;
}
bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// ---- RFC 3339

bool is_date(std::string_view t) {
  const auto year = take_digits(t, 4);
  const bool first = take(t, '-');
  const auto month = take_digits(t, 2);
  const bool second = take(t, '-');
  const auto day = take_digits(t, 2);
  if (!year || !first || !month || !second || !day || !t.empty() || *month < 1 || *month > 12 || *day < 1) return false;
  constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
  return *day <= days[*month - 1] + (*month == 2 && leap ? 1 : 0);
}

bool is_time(std::string_view t) {
  const auto hour = take_digits(t, 2);
  const bool first = take(t, ':');
  const auto minute = take_digits(t, 2);
  const bool second_mark = take(t, ':');
  const auto second = take_digits(t, 2);
  if (!hour || !first || !minute || !second_mark || !second || *hour > 23 || *minute > 59 || *second > 60) return false;
  if (take(t, '.')) {
    const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(t, digit) - t.begin());
    if (digits == 0) return false;
    t.remove_prefix(digits);
  }
  int offset = 0;
  if (!take(t, 'Z') && !take(t, 'z')) {
    const int sign = t.starts_with('-') ? -1 : 1;
    if (!take(t, '+') && !take(t, '-')) return false;
    const auto hours = take_digits(t, 2);
    const bool colon = take(t, ':');
    const auto minutes = take_digits(t, 2);
    if (!hours || !colon || !minutes || *hours > 23 || *minutes > 59) return false;
    offset = sign * (*hours * 60 + *minutes);
  }
  const int utc = ((*hour * 60 + *minute - offset) % 1440 + 1440) % 1440;
  return t.empty() && (*second < 60 || utc == 1439);  // leap seconds end a day in UTC
}

bool is_date_time(std::string_view t) {
  return t.size() > 11 && (t[10] == 'T' || t[10] == 't') && is_date(t.substr(0, 10)) && is_time(t.substr(11));
}

// Takes "1Y2M…" with the units in the order given; each unit at most once, without holes between the smaller ones.
bool take_units(std::string_view& t, std::string_view units) {
  bool any = false;
  std::size_t next = 0;
  while (!t.empty() && digit(t[0])) {
    const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(t, digit) - t.begin());
    if (digits == t.size()) return false;
    const auto unit = units.find(t[digits]);
    if (unit == std::string_view::npos || unit < next || (any && unit != next)) return false;
    next = unit + 1;
    any = true;
    t.remove_prefix(digits + 1);
  }
  return any;
}

bool is_duration(std::string_view t) {
  if (!take(t, 'P') || t.empty()) return false;
  if (t.ends_with('W')) return t.size() > 1 && std::ranges::all_of(t.substr(0, t.size() - 1), digit);
  if (t[0] != 'T' && !take_units(t, "YMD")) return false;
  if (t.empty()) return true;
  return take(t, 'T') && take_units(t, "HMS") && t.empty();
}

// ---- Hosts

bool is_hostname(std::string_view t, bool international) {
  if (t.empty() || t.size() > 253) return false;
  for (const auto label : split(t, '.')) {
    if (label.empty() || label.size() > 63 || label.starts_with('-') || label.ends_with('-')) return false;
    if (label.size() > 3 && label.substr(2, 2) == "--" && !(istarts_with(label, "xn--") && label.size() > 4)) return false;
    if (!std::ranges::all_of(label, [&](char c) { return letter(c) || digit(c) || c == '-' || (international && beyond_ascii(c)); })) return false;
  }
  return true;
}

bool is_ipv4(std::string_view t) {
  const auto parts = split(t, '.');
  return parts.size() == 4 && std::ranges::all_of(parts, [](std::string_view p) {
    const auto n = parse_int<int>(p);
    return n && *n >= 0 && *n <= 255 && digit(p[0]) && (p.size() == 1 || p[0] != '0');
  });
}

bool is_ipv6(std::string_view t) {
  const auto gap = t.find("::");
  if (gap != std::string_view::npos && t.find("::", gap + 1) != std::string_view::npos) return false;
  // The number of 16-bit groups, or nothing.
  const auto groups = [](std::string_view side, bool last) -> std::optional<int> {
    if (side.empty()) return 0;
    int count = 0;
    const auto parts = split(side, ':');
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (last && i + 1 == parts.size() && parts[i].contains('.')) {
        if (!is_ipv4(parts[i])) return std::nullopt;
        count += 2;
      } else if (parts[i].empty() || parts[i].size() > 4 || !std::ranges::all_of(parts[i], hex)) {
        return std::nullopt;
      } else {
        ++count;
      }
    }
    return count;
  };
  if (gap == std::string_view::npos) return groups(t, true) == 8;
  const auto before = groups(t.substr(0, gap), false), after = groups(t.substr(gap + 2), true);
  return before && after && *before + *after <= 7;
}

bool is_email(std::string_view t, bool international) {
  const auto at = t.rfind('@');
  if (at == std::string_view::npos || at == 0) return false;
  const auto local = t.substr(0, at), domain = t.substr(at + 1);
  if (local.size() >= 2 && local.front() == '"' && local.back() == '"') {
    for (std::size_t i = 1; i + 1 < local.size(); ++i) {
      if (local[i] == '\\') ++i;
      else if (local[i] == '"' || static_cast<unsigned char>(local[i]) < 0x20) return false;
    }
  } else {
    for (const auto atom : split(local, '.'))
      if (atom.empty() || !std::ranges::all_of(atom, [&](char c) {
            return letter(c) || digit(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").contains(c) || (international && beyond_ascii(c));
          }))
        return false;
  }
  if (domain.starts_with('[') && domain.ends_with(']')) {
    const auto literal = domain.substr(1, domain.size() - 2);
    return istarts_with(literal, "IPv6:") ? is_ipv6(literal.substr(5)) : is_ipv4(literal);
  }
  return is_hostname(domain, international);
}

// ---- References

bool is_uri_text(std::string_view t, bool international, std::string_view more) {
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (t[i] == '%') {
      if (i + 2 >= t.size() || !hex(t[i + 1]) || !hex(t[i + 2])) return false;
      i += 2;
    } else if (!(letter(t[i]) || digit(t[i]) || std::string_view("-._~!$&'()*+,;=:@/").contains(t[i]) || more.contains(t[i]) || (international && beyond_ascii(t[i])))) {
      return false;
    }
  }
  return true;
}

bool is_authority(std::string_view t, bool international) {
  if (const auto at = t.rfind('@'); at != std::string_view::npos) {
    if (!is_uri_text(t.substr(0, at), international, {}) || t.substr(0, at).contains('@')) return false;
    t.remove_prefix(at + 1);
  }
  std::string_view port;
  if (t.starts_with('[')) {
    const auto end = t.find(']');
    if (end == std::string_view::npos) return false;
    const auto literal = t.substr(1, end - 1);
    if (!is_ipv6(literal) && !(istarts_with(literal, "v") && literal.contains('.') && is_uri_text(literal, false, {}))) return false;
    port = t.substr(end + 1);
  } else {
    const auto colon = t.find(':');
    if (!is_uri_text(t.substr(0, colon), international, {})) return false;
    port = colon == std::string_view::npos ? std::string_view{} : t.substr(colon);
  }
  return port.empty() || (port[0] == ':' && std::ranges::all_of(port.substr(1), digit));
}

bool is_uri(std::string_view t, bool international, bool relative) {
  const auto colon = t.find_first_of(":/?#");
  bool scheme = colon != std::string_view::npos && colon > 0 && t[colon] == ':';
  if (scheme && !(letter(t[0]) && std::ranges::all_of(t.substr(0, colon), [](char c) { return letter(c) || digit(c) || c == '+' || c == '-' || c == '.'; })))
    return false;
  if (!scheme && (!relative || t.starts_with(':'))) return false;
  if (scheme) t.remove_prefix(colon + 1);
  if (const auto hash = t.find('#'); hash != std::string_view::npos) {
    if (!is_uri_text(t.substr(hash + 1), international, "?")) return false;
    t = t.substr(0, hash);
  }
  if (const auto question = t.find('?'); question != std::string_view::npos) {
    if (!is_uri_text(t.substr(question + 1), international, "?")) return false;
    t = t.substr(0, question);
  }
  if (t.starts_with("//")) {
    t.remove_prefix(2);
    const auto slash = t.find('/');
    if (!is_authority(t.substr(0, slash), international)) return false;
    t = slash == std::string_view::npos ? std::string_view{} : t.substr(slash);
  }
  return is_uri_text(t, international, {});
}

// RFC 6570: "name", "a.b:3", "list*".
bool is_variable(std::string_view t) {
  if (const auto colon = t.find(':'); colon != std::string_view::npos) {
    const auto length = t.substr(colon + 1);
    if (length.empty() || length.size() > 4 || length[0] == '0' || !std::ranges::all_of(length, digit)) return false;
    t = t.substr(0, colon);
  } else if (t.ends_with('*')) {
    t.remove_suffix(1);
  }
  for (const auto name : split(t, '.'))
    if (name.empty() || !is_uri_text(name, false, {}) || name.find_first_of("-~!$&'()*+,;=:@/") != std::string_view::npos) return false;
  return true;
}

bool is_uri_template(std::string_view t) {
  while (!t.empty()) {
    const auto open = t.find('{');
    const auto text = t.substr(0, open);
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool escape = text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) && hex(text[i + 2]);
      if (static_cast<unsigned char>(text[i]) <= 0x20 || std::string_view("\"<>\\^`|}\x7f").contains(text[i]) || (text[i] == '%' && !escape)) return false;
    }
    if (open == std::string_view::npos) return true;
    const auto close = t.find('}', open);
    if (close == std::string_view::npos) return false;
    auto expression = t.substr(open + 1, close - open - 1);
    if (!expression.empty() && std::string_view("+#./;?&").contains(expression[0])) expression.remove_prefix(1);
    if (!std::ranges::all_of(split(expression, ','), is_variable)) return false;
    t.remove_prefix(close + 1);
  }
  return true;
}

bool is_json_pointer(std::string_view t) {
  if (!t.empty() && t[0] != '/') return false;
  for (std::size_t i = 0; i < t.size(); ++i)
    if (t[i] == '~' && (i + 1 >= t.size() || (t[i + 1] != '0' && t[i + 1] != '1'))) return false;
  return true;
}

bool is_relative_json_pointer(std::string_view t) {
  const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(t, digit) - t.begin());
  if (digits == 0 || (digits > 1 && t[0] == '0')) return false;
  t.remove_prefix(digits);
  return t == "#" || is_json_pointer(t);
}

bool is_uuid(std::string_view t) {
  if (t.size() != 36) return false;
  for (std::size_t i = 0; i < t.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? t[i] != '-' : !hex(t[i])) return false;
  }
  return true;
}

}  // namespace

Format format_from(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &std::pair<std::string_view, Format>::first);
  return found == kNames.end() ? Format::none : found->second;
}

bool has_format(Format format, std::string_view text) {
  switch (format) {
    case Format::none: return true;
    case Format::date_time: return is_date_time(text);
    case Format::date: return is_date(text);
    case Format::time: return is_time(text);
    case Format::duration: return is_duration(text);
    case Format::email: return is_email(text, false);
    case Format::idn_email: return is_email(text, true);
    case Format::hostname: return is_hostname(text, false);
    case Format::idn_hostname: return is_hostname(text, true);
    case Format::ipv4: return is_ipv4(text);
    case Format::ipv6: return is_ipv6(text);
    case Format::uri: return is_uri(text, false, false);
    case Format::uri_reference: return is_uri(text, false, true);
    case Format::iri: return is_uri(text, true, false);
    case Format::iri_reference: return is_uri(text, true, true);
    case Format::uuid: return is_uuid(text);
    case Format::uri_template: return is_uri_template(text);
    case Format::json_pointer: return is_json_pointer(text);
    case Format::relative_json_pointer: return is_relative_json_pointer(text);
    case Format::regex: return translate_pattern(text).has_value();
  }
  return true;
}

}  // namespace ballast::schema
