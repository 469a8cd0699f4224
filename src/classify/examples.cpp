#include "classify/examples.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace ballast::classify {

namespace {

constexpr std::string_view kMark = "\xEF\xBB\xBF";      // a byte order mark
constexpr std::size_t kMostColumns = 64;

// Takes what is read, one example after the other; knows where it is.
class Collector {
 public:
  explicit Collector(std::string_view name) : name_(name) {}

  std::unexpected<Error> wrong(std::size_t line, std::string message) const {
    return fail(ErrorCode::caller_invalid_request, std::move(message), fmt::format("{}:{}", name_, line));
  }
  Result<void> add(std::size_t line, std::string_view text, std::string_view label) {
    label = trim(label);
    text = trim(text);
    if (label.empty()) return wrong(line, "has no label");
    if (text.empty()) return wrong(line, "has no text");
    if (label.size() > kMaxLabelBytes) return wrong(line, fmt::format("has a label of {} bytes, at most {} are allowed", label.size(), kMaxLabelBytes));
    if (!is_utf8(label) || !is_utf8(text)) return wrong(line, "is not UTF-8");
    if (out_.size() >= kMaxExamples)
      return fail(ErrorCode::caller_too_large, fmt::format("more than {} examples", kMaxExamples), fmt::format("{}:{}", name_, line));
    out_.push_back({std::string(text), std::string(label)});
    return {};
  }
  std::vector<Example> take() { return std::move(out_); }

 private:
  std::string name_;
  std::vector<Example> out_;
};

// For formats in which a line is an example.
template <class F>
Result<void> each_line(std::string_view content, F take) {
  for (std::size_t number = 1; !content.empty(); ++number) {
    const auto line = take_until(content, '\n');
    if (trim(line).empty()) continue;
    if (auto ok = take(number, line); !ok) return ok;
  }
  return {};
}

Result<void> read_tsv(std::string_view content, Collector& out) {
  return each_line(content, [&](std::size_t number, std::string_view line) -> Result<void> {
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos) return out.wrong(number, "must be a label, a tab and a text");
    return out.add(number, line.substr(tab + 1), line.substr(0, tab));
  });
}

Result<void> read_jsonl(std::string_view content, Collector& out) {
  return each_line(content, [&](std::size_t number, std::string_view line) -> Result<void> {
    const auto document = parse_json(line, {.max_bytes = 1u << 20, .max_depth = 32});
    if (!document) return out.wrong(number, document.error().message);
    const JsonRef row(*document);
    const auto text = row.get<std::string_view>("text"), label = row.get<std::string_view>("label");
    if (!text) return out.wrong(number, fmt::format("{}: {}", text.error().field, text.error().message));
    if (!label) return out.wrong(number, fmt::format("{}: {}", label.error().field, label.error().message));
    return out.add(number, *text, *label);
  });
}

// RFC 4180, a record at a time.
class Csv {
 public:
  explicit Csv(std::string_view content) : rest_(content) {}
  bool more() const { return !rest_.empty(); }
  std::size_t line() const { return line_; }
  // The next record's fields; false: a quote that does not end, something behind one, or too many fields.
  bool next(std::vector<std::string>& fields) {
    line_ = next_line_;
    fields.clear();
    do {
      if (fields.size() >= kMostColumns || !field(fields.emplace_back())) return false;
    } while (ended_ == ',');
    ++next_line_;
    return true;
  }

 private:
  bool field(std::string& out) {
    const bool quoted = rest_.starts_with('"');
    if (quoted && !quotation(out)) return false;
    const auto at = rest_.find_first_of(",\n");
    auto plain = rest_.substr(0, at);
    if (plain.ends_with('\r')) plain.remove_suffix(1);
    if (quoted && !plain.empty()) return false;
    out += plain;
    ended_ = at == std::string_view::npos ? '\n' : rest_[at];
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at + 1);
    return true;
  }
  bool quotation(std::string& out) {
    for (rest_.remove_prefix(1);;) {
      const auto quote = rest_.find('"');
      if (quote == std::string_view::npos) return false;
      out += rest_.substr(0, quote);
      rest_.remove_prefix(quote + 1);
      if (!rest_.starts_with('"')) break;
      out += '"';
      rest_.remove_prefix(1);
    }
    next_line_ += static_cast<std::size_t>(std::ranges::count(out, '\n'));
    return true;
  }

  std::string_view rest_;
  std::size_t line_ = 1, next_line_ = 1;
  char ended_ = '\n';
};

Result<void> read_csv(std::string_view content, Collector& out) {
  Csv csv(content);
  std::vector<std::string> fields;
  if (!csv.next(fields)) return out.wrong(1, "is not a line of CSV");
  const auto column = [&](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find_if(fields, [&](const auto& f) { return iequals(trim(f), name); }) - fields.begin());
  };
  const std::size_t text = column("text"), label = column("label"), columns = fields.size();
  if (text == columns || label == columns) return out.wrong(1, "must name the columns, \"text\" and \"label\" among them");
  while (csv.more()) {
    if (!csv.next(fields)) return out.wrong(csv.line(), "is not a line of CSV: a quotation that does not end, or something behind one");
    if (fields.size() == 1 && trim(fields[0]).empty()) continue;
    if (fields.size() != columns) return out.wrong(csv.line(), fmt::format("has {} columns, the first line names {}", fields.size(), columns));
    if (auto ok = out.add(csv.line(), fields[text], fields[label]); !ok) return ok;
  }
  return {};
}

}  // namespace

std::optional<Format> format_of(std::string_view path) {
  if (path.ends_with(".tsv") || path.ends_with(".txt")) return Format::tsv;
  if (path.ends_with(".csv")) return Format::csv;
  if (path.ends_with(".jsonl") || path.ends_with(".ndjson")) return Format::jsonl;
  return std::nullopt;
}

Result<std::vector<Example>> read_examples(std::string_view content, Format format, std::string_view name) {
  if (content.starts_with(kMark)) content.remove_prefix(kMark.size());
  Collector out(name);
  const auto done = format == Format::tsv ? read_tsv(content, out) : format == Format::csv ? read_csv(content, out) : read_jsonl(content, out);
  if (!done) return fail(done.error());
  return out.take();
}

}  // namespace ballast::classify
