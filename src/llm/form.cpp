#include "llm/form.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "base/text.hpp"

namespace ballast::llm {

namespace {

constexpr std::string_view kCrlf = "\r\n";

std::unexpected<Error> refuse(std::string_view field, std::string message) {
  return fail(ErrorCode::caller_invalid_request, std::move(message), std::string(field));
}

bool is_token_char(char c) {             // RFC 9110
  return (c >= '0' && c <= '9') || (to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'z') || std::string_view("!#$%&'*+-.^_`|~").contains(c);
}
bool is_boundary_char(char c) {          // RFC 2046, bchars
  return (c >= '0' && c <= '9') || (to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'z') || std::string_view("'()+_,-./:=? ").contains(c);
}
bool has_control(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

struct Parameter {
  std::string name;                      // in lower case
  std::string_view value;
};

// `; name=value; name="value"` after a header's first word. False: not so, or an escape, an extended or a repeated name in it.
bool parameters_of(std::string_view rest, std::vector<Parameter>& out) {
  const auto blank = [&] {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  };
  for (blank(); !rest.empty(); blank()) {
    if (rest.front() != ';') return false;
    rest.remove_prefix(1);
    blank();
    std::size_t end = 0;
    while (end < rest.size() && is_token_char(rest[end])) ++end;
    if (end == 0 || end == rest.size() || rest[end] != '=') return false;
    Parameter p{to_lower_ascii(rest.substr(0, end)), {}};
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest.front() == '"') {
      const auto close = rest.find('"', 1);
      if (close == std::string_view::npos) return false;
      p.value = rest.substr(1, close - 1);
      if (p.value.contains('\\')) return false;
      rest.remove_prefix(close + 1);
    } else {
      end = 0;
      while (end < rest.size() && is_token_char(rest[end])) ++end;
      if (end == 0) return false;
      p.value = rest.substr(0, end);
      rest.remove_prefix(end);
    }
    for (const auto& other : out)
      if (other.name == p.name) return false;
    out.push_back(std::move(p));
  }
  return true;
}

// The first word of a header's value, and the rest.
std::string_view first_word(std::string_view& value) {
  const auto end = std::min(value.find_first_of("; \t"), value.size());
  const auto word = value.substr(0, end);
  value.remove_prefix(end);
  return word;
}

Result<std::string> boundary_of(std::string_view content_type) {
  constexpr std::string_view field = "content-type";
  std::string_view rest = trim(content_type);
  std::vector<Parameter> parameters;
  if (has_control(rest) || !iequals(first_word(rest), "multipart/form-data") || !parameters_of(rest, parameters))
    return refuse(field, "must be multipart/form-data; boundary=…, each parameter once and without escapes");
  std::string_view boundary;
  for (const auto& p : parameters) {
    if (p.name.starts_with("boundary*")) return refuse(field, "the boundary must be given plainly, as boundary=…");
    if (p.name == "boundary") boundary = p.value;
  }
  if (boundary.empty() || boundary.size() > 70 || boundary.back() == ' ') return refuse(field, "needs a boundary of 1 to 70 characters");
  for (const char c : boundary)
    if (!is_boundary_char(c)) return refuse(field, "the boundary has a character that RFC 2046 does not allow");
  return std::string(boundary);
}

// Finds the delimiter in linear time, whatever the body (Knuth, Morris and Pratt, 1977): images are searched by their dashes,
// and a body of dashes is no slower.
class Search {
 public:
  explicit Search(std::string needle) : needle_(std::move(needle)), back_(needle_.size() + 1, 0) {
    for (std::size_t i = 1, k = 0; i < needle_.size(); ++i) {
      while (k > 0 && needle_[i] != needle_[k]) k = back_[k];
      if (needle_[i] == needle_[k]) ++k;
      back_[i + 1] = static_cast<std::uint8_t>(k);
    }
  }
  std::size_t size() const { return needle_.size(); }
  // The first occurrence at or after `from`; npos if there is none.
  std::size_t next(std::string_view body, std::size_t from) const {
    std::size_t k = 0;
    for (std::size_t i = from; i < body.size(); ++i) {
      if (k == 0) {
        const void* dash = std::memchr(body.data() + i, needle_[0], body.size() - i);
        if (dash == nullptr) return std::string_view::npos;
        i = static_cast<std::size_t>(static_cast<const char*>(dash) - body.data());
      }
      while (k > 0 && body[i] != needle_[k]) k = back_[k];
      if (body[i] == needle_[k]) ++k;
      if (k == needle_.size()) return i + 1 - k;
    }
    return std::string_view::npos;
  }

 private:
  std::string needle_;                   // at most 72 bytes
  std::vector<std::uint8_t> back_;       // the longest proper border of each prefix
};

using Part = FormPart;

// One header of a part. Nothing but Content-Disposition says what the part is; an encoding would hide what it holds.
Result<void> read_header(std::string_view line, Part& part, bool& disposed) {
  const auto colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos || has_control(line)) return refuse("body", "the head of a part of the form is malformed");
  for (const char c : line.substr(0, colon))
    if (!is_token_char(c)) return refuse("body", "the head of a part of the form is malformed");
  const auto name = line.substr(0, colon);
  std::string_view value = trim(line.substr(colon + 1));
  if (iequals(name, "content-transfer-encoding")) {
    if (iequals(value, "binary") || iequals(value, "8bit") || iequals(value, "7bit")) return {};
    return refuse("body", "a part of the form is encoded: send it as it is");
  }
  if (!iequals(name, "content-disposition")) return {};
  std::vector<Parameter> parameters;
  if (disposed || !iequals(first_word(value), "form-data") || !parameters_of(value, parameters))
    return refuse("body", "a part of the form needs one Content-Disposition: form-data, each parameter once and without escapes");
  disposed = true;
  for (const auto& p : parameters) {
    if (p.name.starts_with("name*")) return refuse("body", "the name of a field must be given plainly, as name=\"…\"");
    if (p.name == "name") part.name = p.value;
    if (p.name == "filename" || p.name.starts_with("filename*")) part.file = true;
    if (p.name == "filename") part.filename = p.value;
  }
  return {};
}

// `bytes`: between two delimiters' lines.
Result<Part> read_part(std::string_view bytes) {
  Part part;
  bool disposed = false;
  const auto end = bytes.substr(0, kMaxPartHead).find("\r\n\r\n");
  if (end == std::string_view::npos) return refuse("body", "a part of the form has no head, or one of more than 4096 bytes");
  part.value = bytes.substr(end + 4);
  for (std::string_view head = bytes.substr(0, end); !head.empty();) {
    const auto line = head.substr(0, head.find(kCrlf));
    if (auto ok = read_header(line, part, disposed); !ok) return fail(std::move(ok.error()));
    head.remove_prefix(std::min(head.size(), line.size() + kCrlf.size()));
  }
  if (part.name.empty() || part.name.size() > 256 || !is_utf8(part.name) || part.name.contains('%'))
    return refuse("body", "a part of the form needs a name of at most 256 bytes, without escapes");
  return part;
}

// The fields that decide which model is asked and what it costs, and those that are kept or counted.
enum Field : unsigned { model, n, size, quality, stream, partial_images, user, prompt, fields };
constexpr std::array<std::string_view, fields> kFields{"model", "n", "size", "quality", "stream", "partial_images", "user", "prompt"};

// "image[0]" is "image" to many readers, and " N" is "n" to some.
std::string base_name(std::string_view name) { return to_lower_ascii(trim(name.substr(0, name.find('[')))); }

class Reader {
 public:
  explicit Reader(std::string_view body) : body_(body) {}
  Result<void> part(const Part& p);
  Result<ImageAsk> finish();

 private:
  Result<void> known(Field field, std::string_view value);
  Result<void> text(std::string_view field, std::string_view value, std::size_t most, std::string& into);
  Result<void> number(std::string_view field, std::string_view value, std::int64_t low, std::int64_t high, std::uint32_t& into);

  std::string_view body_;
  ImageAsk ask_;
  unsigned seen_ = 0;
};

Result<void> Reader::part(const Part& p) {
  if (!p.file) ask_.text_bytes += p.value.size();
  const std::string base = base_name(p.name);
  for (unsigned f = 0; f < fields; ++f) {
    if (base != kFields[f]) continue;
    if (p.name != base) return refuse(base, "must be named \"" + base + "\"");
    if (p.file) return refuse(base, "must be a plain field, not a file");
    if ((seen_ & (1U << f)) != 0) return refuse(base, "is given twice");
    seen_ |= 1U << f;
    return known(static_cast<Field>(f), p.value);
  }
  const bool image = base == "image" || base == "images", mask = base == "mask";
  if (mask) ++ask_.masks;
  else if (image || p.file) ++ask_.images;
  if ((image || mask) && !p.file && !p.value.starts_with("data:")) ask_.remote = base;
  return {};
}

Result<void> Reader::text(std::string_view field, std::string_view value, std::size_t most, std::string& into) {
  if (value.size() > most || has_control(value) || !is_utf8(value))
    return refuse(field, "must be at most " + std::to_string(most) + " bytes of UTF-8, without control characters");
  into = value;
  return {};
}

Result<void> Reader::number(std::string_view field, std::string_view value, std::int64_t low, std::int64_t high, std::uint32_t& into) {
  const auto v = value.starts_with('0') && value.size() > 1 ? std::nullopt : parse_int<std::int64_t>(value);
  if (!v || *v < low || *v > high) return refuse(field, "must be an integer from " + std::to_string(low) + " to " + std::to_string(high));
  into = static_cast<std::uint32_t>(*v);
  return {};
}

Result<void> Reader::known(Field field, std::string_view value) {
  const auto name = kFields[field];
  switch (field) {
    case model:
      ask_.model_value = {static_cast<std::uint32_t>(value.data() - body_.data()), static_cast<std::uint32_t>(value.size())};
      return text(name, value, 256, ask_.model);
    case n: return number(name, value, 1, kMaxImages, ask_.n);
    case partial_images: return number(name, value, 0, kMaxPartialImages, ask_.partial_images);
    case size: return text(name, value, 64, ask_.size);
    case quality: return text(name, value, 64, ask_.quality);
    case user: return text(name, value, 1024, ask_.user);
    case prompt: ask_.prompt_bytes = value.size(); return {};
    case stream:
      ask_.stream = iequals(value, "true") || value == "1";
      if (!ask_.stream && !iequals(value, "false") && value != "0") return refuse(name, "must be true or false");
      return {};
    case fields: break;
  }
  return {};
}

Result<ImageAsk> Reader::finish() {
  if (ask_.model.empty()) return refuse("model", "the request names no model");
  return std::move(ask_);
}

}  // namespace

bool is_form(std::string_view content_type) { return istarts_with(trim(content_type), "multipart/"); }

Result<std::vector<FormPart>> read_form(std::string_view body, std::string_view content_type) {
  auto boundary = boundary_of(content_type);
  if (!boundary) return fail(std::move(boundary.error()));
  if (body.size() > UINT32_MAX) return fail(ErrorCode::caller_too_large, "the form is larger than 4 GiB", "body");
  const Search delimiter("--" + *boundary);
  if (delimiter.next(body.substr(0, delimiter.size()), 0) != 0) return refuse("body", "must begin with the boundary that Content-Type names");

  std::vector<FormPart> parts;
  std::size_t begin = delimiter.size();  // behind the delimiter
  for (;;) {
    const auto after = body.substr(begin);
    if (after.starts_with("--")) {
      if (after != "--" && after != "--\r\n") return refuse("body", "the form goes on after its closing boundary");
      if (parts.empty()) return refuse("body", "the form has no parts");
      return parts;
    }
    if (!after.starts_with(kCrlf)) return refuse("body", "the boundary occurs inside a part: choose one that does not");
    if (parts.size() == kMaxFormParts) return refuse("body", "has more than " + std::to_string(kMaxFormParts) + " parts");
    begin += kCrlf.size();
    const auto end = delimiter.next(body, begin);
    if (end == std::string_view::npos) return refuse("body", "the form is cut: its closing boundary is missing");
    if (end < begin + kCrlf.size() || body.substr(end - kCrlf.size(), kCrlf.size()) != kCrlf)
      return refuse("body", "the boundary occurs inside a part: choose one that does not");
    auto part = read_part(body.substr(begin, end - kCrlf.size() - begin));
    if (!part) return fail(std::move(part.error()));
    parts.push_back(*part);
    begin = end + delimiter.size();
  }
}

Result<ImageAsk> read_image_form(std::string_view body, std::string_view content_type) {
  const auto parts = read_form(body, content_type);
  if (!parts) return fail(parts.error());
  Reader reader(body);
  for (const FormPart& part : *parts)
    if (auto ok = reader.part(part); !ok) return fail(std::move(ok.error()));
  return reader.finish();
}

std::string rename_model(std::string_view body, const ImageAsk& ask, std::string_view model) {
  std::string out;
  out.reserve(body.size() + model.size());
  out.append(body.substr(0, ask.model_value.offset)).append(model).append(body.substr(ask.model_value.offset + ask.model_value.length));
  return out;
}

}  // namespace ballast::llm
