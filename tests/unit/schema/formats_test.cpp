#include "schema/formats.hpp"

#include <gtest/gtest.h>

namespace ballast::schema {
namespace {

TEST(SchemaFormats, HoldWhatTheirRfcsSay) {
  struct Row {
    const char *format, *text;
    bool has;
  };
  const Row rows[] = {
      {"date", "2024-02-29", true}, {"date", "2023-02-29", false}, {"date", "2023-13-01", false}, {"date", "2023-1-01", false},
      {"time", "23:59:60Z", true}, {"time", "22:59:60Z", false}, {"time", "01:29:60+01:30", true}, {"time", "12:00:00", false}, {"time", "12:00:00.5-08:00", true},
      {"date-time", "2026-11-21T12:00:00Z", true}, {"date-time", "2026-11-21 12:00:00Z", false}, {"date-time", "2026-11-21t12:00:00.123z", true},
      {"duration", "P4DT12H30M5S", true}, {"duration", "PT1D", false}, {"duration", "P", false}, {"duration", "P1Y2D", false}, {"duration", "P2W", true}, {"duration", "P1DT", false},
      {"email", "joe@example.com", true}, {"email", "\"joe bloggs\"@example.com", true}, {"email", "joe@[127.0.0.1]", true}, {"email", ".joe@example.com", false}, {"email", "joe", false},
      {"hostname", "www.example.com", true}, {"hostname", "-a.com", false}, {"hostname", "a_b", false}, {"hostname", "", false}, {"idn-hostname", "m\u00fcller.de", true},
      {"ipv4", "192.168.0.1", true}, {"ipv4", "256.0.0.1", false}, {"ipv4", "01.0.0.1", false}, {"ipv4", "1.2.3", false},
      {"ipv6", "::", true}, {"ipv6", "1::8", true}, {"ipv6", "1:2:3:4:5:6:7:8", true}, {"ipv6", "1:2:3:4:5:6:7", false}, {"ipv6", "::ffff:1.2.3.4", true}, {"ipv6", "1::2::3", false}, {"ipv6", "12345::", false},
      {"uri", "https://a.b/c?d=e#f", true}, {"uri", "//a.b", false}, {"uri", "https://a b", false}, {"uri", "urn:x:y", true}, {"uri", "http://[::1]:80/", true}, {"uri", "a%zz:", false},
      {"uri-reference", "../x?y", true}, {"uri-reference", "\\x", false}, {"iri", "https://\u00e4.b/\u00fc", true}, {"uri", "https://\u00e4.b/", false}, {"iri-reference", "/\u00fc", true},
      {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", true}, {"uuid", "2eb8aa08aa9811eab4aa73b441d16380", false},
      {"uri-template", "/x/{id}{?q}", true}, {"uri-template", "/x/{id", false}, {"json-pointer", "/a~1b/0", true}, {"json-pointer", "a", false}, {"json-pointer", "/~2", false},
      {"relative-json-pointer", "1/a", true}, {"relative-json-pointer", "01", false}, {"relative-json-pointer", "0#", true}, {"regex", "^a{2}$", true}, {"regex", "(", false}, {"regex", "\\a", false},
  };
  for (const auto& row : rows) {
    const Format format = format_from(row.format);
    ASSERT_NE(format, Format::none) << row.format;
    EXPECT_EQ(has_format(format, row.text), row.has) << row.format << ": " << row.text;
  }
  EXPECT_EQ(format_from("unheard-of"), Format::none);
}

}  // namespace
}  // namespace ballast::schema
