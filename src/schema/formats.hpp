// The formats of the drafts, as far as a string can be judged by itself. Pure and thread-safe. Private to schema/.
#pragma once
#include <string_view>

namespace ballast::schema {

enum class Format : unsigned char {
  none, date_time, date, time, duration, email, idn_email, hostname, idn_hostname, ipv4, ipv6, uri, uri_reference, iri, iri_reference,
  uuid, uri_template, json_pointer, relative_json_pointer, regex,
};

// Format::none for a name that the drafts do not know.
Format format_from(std::string_view name);
bool has_format(Format format, std::string_view text);

}  // namespace ballast::schema
