// Labelled examples as people keep them, read from text.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "classify/classify.hpp"

namespace ballast::classify {

// tsv: label, a tab, the text; nothing is quoted. csv: RFC 4180, its first line names the columns, `text` and `label` among them.
// jsonl: an object with `text` and `label` a line. Empty lines are passed over; a byte order mark and CRLF are understood.
enum class Format : unsigned char { tsv, csv, jsonl };
// By a file's ending (".tsv", ".txt", ".csv", ".jsonl", ".ndjson"), or nothing.
std::optional<Format> format_of(std::string_view path);

// Errors: caller_invalid_request, or caller_too_large above kMaxExamples, with `field` "NAME:LINE".
Result<std::vector<Example>> read_examples(std::string_view content, Format format, std::string_view name);

}  // namespace ballast::classify
