#include "net/codec.hpp"

#include <cstring>

#include "base/text.hpp"
#include "net/chars.hpp"

namespace ballast::net {
namespace {

// Visits the elements of a comma-separated list.
template <class F>
void for_list(std::string_view list, F f) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    const auto item = trim_blanks(list.substr(0, comma));
    if (!item.empty()) f(item);
    if (comma == list.npos) break;
    list.remove_prefix(comma + 1);
  }
}

constexpr bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void HeadParser::restart() {
  at_ = scanned_ = 0;
  first_line_done_ = false;
  refusal_ = {};
  has_length_ = has_coding_ = chunked_ = other_coding_ = close_ = keep_ = expect_ = bad_expect_ = false;
  hosts_ = 0;
  host_at_ = host_size_ = 0;
  length_ = 0;
}

bool HeadParser::next_line(std::string_view bytes, std::string_view& line) {
  const char* from = bytes.data() + scanned_;
  const auto* lf = static_cast<const char*>(std::memchr(from, '\n', bytes.size() - scanned_));
  const std::size_t end = lf ? static_cast<std::size_t>(lf - bytes.data()) + 1 : bytes.size();
  if (end > limits_->head_bytes) {
    if (first_line_done_) refuse(431, "the header is larger than the limit");
    else refuse(414, "the first line is longer than the limit");
    return false;
  }
  scanned_ = end;
  if (!lf) return false;
  if (end - at_ < 2 || lf[-1] != '\r') {
    refuse(400, "a line ends with a bare LF");
    return false;
  }
  line = bytes.substr(at_, end - at_ - 2);
  at_ = end;
  return true;
}

bool HeadParser::add_field(std::string_view bytes, std::string_view line, Headers& headers) {
  if (headers.entries_.size() >= limits_->fields) return refuse(431, "more header fields than the limit"), false;
  std::size_t colon = 0;
  while (colon < line.size() && (char_classes[static_cast<unsigned char>(line[colon])] & token_char)) ++colon;
  if (colon == 0 && (line[0] == ' ' || line[0] == '\t')) return refuse(400, "a folded header line"), false;
  if (colon == 0 || colon == line.size() || line[colon] != ':')
    return refuse(400, "a header field name is malformed"), false;
  const auto name = line.substr(0, colon);
  const auto value = trim_blanks(line.substr(colon + 1));
  if (name.size() > 0xffff) return refuse(431, "a header field name is too long"), false;
  if (!all_value(value)) return refuse(400, "a control character in a header field"), false;
  headers.entries_.push_back({static_cast<std::uint32_t>(name.data() - bytes.data()),
                              static_cast<std::uint32_t>(value.data() - bytes.data()),
                              static_cast<std::uint32_t>(value.size()), static_cast<std::uint16_t>(name.size())});
  return special_field(bytes, name, value);
}

// The few fields that decide how the message is read.
bool HeadParser::special_field(std::string_view bytes, std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (iequals(name, "host")) {
        ++hosts_;
        host_at_ = static_cast<std::uint32_t>(value.data() - bytes.data());
        host_size_ = static_cast<std::uint32_t>(value.size());
      }
      break;
    case 6:
      if (iequals(name, "expect")) (iequals(value, "100-continue") ? expect_ : bad_expect_) = true;
      break;
    case 10:
      if (iequals(name, "connection"))
        for_list(value, [this](std::string_view item) {
          if (iequals(item, "close")) close_ = true;
          else if (iequals(item, "keep-alive")) keep_ = true;
        });
      break;
    case 14:
      if (iequals(name, "content-length")) {
        if (has_length_) return refuse(400, "Content-Length appears twice"), false;
        has_length_ = true;
        if (value.empty() || value.size() > 18) return refuse(400, "Content-Length is malformed"), false;
        for (const char c : value) {
          if (!digit(c)) return refuse(400, "Content-Length is malformed"), false;
          length_ = length_ * 10 + static_cast<unsigned>(c - '0');
        }
      }
      break;
    case 17:
      if (iequals(name, "transfer-encoding")) {
        if (has_coding_) return refuse(400, "Transfer-Encoding appears twice"), false;
        has_coding_ = true;
        (iequals(value, "chunked") ? chunked_ : other_coding_) = true;
      }
      break;
    default: break;
  }
  return true;
}

void RequestParser::reset() {
  restart();
  head_.headers.clear();
  head_.framing = {};
  head_.method = head_.target = head_.path = head_.query = {};
  method_at_ = method_size_ = target_at_ = target_size_ = path_at_ = path_size_ = 0;
}

ParseStep RequestParser::parse(std::string_view bytes) {
  std::string_view line;
  while (next_line(bytes, line)) {
    if (!first_line_done_) {
      if (line.empty() && at_ == 2) continue;      // RFC 9112, 2.2: one empty line before a request is ignored
      first_line_done_ = true;
      if (request_line(bytes, line) == ParseStep::refused) return ParseStep::refused;
    } else if (line.empty()) {
      return finish(bytes);
    } else if (!add_field(bytes, line, head_.headers)) {
      return ParseStep::refused;
    }
  }
  return refusal_.status ? ParseStep::refused : ParseStep::more;
}

ParseStep RequestParser::request_line(std::string_view bytes, std::string_view line) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == line.npos || first == last) return refuse(400, "the request line is malformed");
  const auto method = line.substr(0, first), target = line.substr(first + 1, last - first - 1), version = line.substr(last + 1);
  if (method.empty() || method.size() > 32 || !all(method, token_char)) return refuse(400, "the method is malformed");
  if (version.size() != 8 || !version.starts_with("HTTP/") || !digit(version[5]) || version[6] != '.' || !digit(version[7]))
    return refuse(400, "the HTTP version is malformed");
  if (version[5] != '1' || version[7] > '1') return refuse(505, "only versions 1.0 and 1.1 of HTTP are spoken here");
  if (target.size() > limits_->target_bytes) return refuse(414, "the request target is longer than the limit");
  if (target.empty() || !all(target, target_char)) return refuse(400, "the request target is malformed");
  if (method == "CONNECT" || method == "TRACE") return refuse(405, "this method is never allowed");
  head_.minor_version = version[7] - '0';
  method_at_ = static_cast<std::uint32_t>(method.data() - bytes.data());
  method_size_ = static_cast<std::uint32_t>(method.size());
  target_at_ = static_cast<std::uint32_t>(target.data() - bytes.data());
  target_size_ = static_cast<std::uint32_t>(target.size());
  path_at_ = target_at_;
  if (target[0] != '/' && !(target == "*" && method == "OPTIONS")) {
    // Absolute form: its authority must agree with Host, which `finish` checks.
    const std::size_t scheme = istarts_with(target, "http://") ? 7 : istarts_with(target, "https://") ? 8 : 0;
    if (!scheme) return refuse(400, "the request target is malformed");
    const auto slash = target.find_first_of("/?", scheme);
    if (slash == target.npos || target[slash] != '/') return refuse(400, "the request target has no path");
    path_at_ = target_at_ + static_cast<std::uint32_t>(slash);
  }
  path_size_ = target_size_ - (path_at_ - target_at_);
  return ParseStep::done;
}

ParseStep RequestParser::finish(std::string_view bytes) {
  if (hosts_ > 1) return refuse(400, "Host appears twice");
  if (hosts_ == 0 && head_.minor_version == 1) return refuse(400, "Host is missing");
  const auto host = bytes.substr(host_at_, host_size_);
  if (hosts_ && (host.empty() || !all(host, host_char))) return refuse(400, "Host is malformed");
  if (path_at_ != target_at_ && hosts_) {
    auto authority = bytes.substr(target_at_, path_at_ - target_at_);
    authority.remove_prefix(authority.find("//") + 2);
    if (!iequals(authority, host)) return refuse(400, "Host differs from the request target");
  }
  if (has_coding_ && has_length_) return refuse(400, "Transfer-Encoding together with Content-Length");
  if (has_coding_ && head_.minor_version == 0) return refuse(400, "Transfer-Encoding in HTTP/1.0");
  if (other_coding_) return refuse(501, "a transfer coding other than chunked");
  if (bad_expect_) return refuse(417, "an expectation other than 100-continue");
  const bool upload = !limits_->upload_path.empty() && path_in(bytes).substr(0, path_in(bytes).find('?')) == limits_->upload_path;
  if (length_ > (upload ? std::max(limits_->upload_bytes, limits_->body_bytes) : limits_->body_bytes)) return refuse(413, "the body is larger than the limit");
  head_.framing = {chunked_ ? Framing::Kind::chunked : length_ ? Framing::Kind::length : Framing::Kind::none, length_};
  head_.keep_alive = head_.minor_version == 1 ? !close_ : keep_ && !close_;
  head_.expect_continue = expect_ && head_.minor_version == 1 && head_.framing.kind != Framing::Kind::none;
  rebase(bytes.data());
  return ParseStep::done;
}

void RequestParser::rebase(const char* bytes) {
  head_.headers.borrowed_ = bytes;
  head_.method = {bytes + method_at_, method_size_};
  head_.target = {bytes + target_at_, target_size_};
  const std::string_view path(bytes + path_at_, path_size_);
  const auto question = path.find('?');
  head_.path = path.substr(0, question);
  head_.query = question == path.npos ? std::string_view{} : path.substr(question + 1);
}

void ResponseParser::reset(bool to_head_request) {
  restart();
  no_body_ = to_head_request;
  head_.headers.clear();
  head_.framing = {};
  head_.reason = {};
  head_.status = 0;
}

ParseStep ResponseParser::parse(std::string_view bytes) {
  std::string_view line;
  while (next_line(bytes, line)) {
    if (!first_line_done_) {
      first_line_done_ = true;
      if (status_line(bytes, line) == ParseStep::refused) return ParseStep::refused;
    } else if (line.empty()) {
      return finish(bytes);
    } else if (!add_field(bytes, line, head_.headers)) {
      return ParseStep::refused;
    }
  }
  return refusal_.status ? ParseStep::refused : ParseStep::more;
}

ParseStep ResponseParser::status_line(std::string_view bytes, std::string_view line) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
      !digit(line[9]) || !digit(line[10]) || !digit(line[11]) || (line.size() > 12 && line[12] != ' '))
    return refuse(502, "the status line is malformed");
  head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  head_.minor_version = line[7] - '0';
  const auto reason = line.size() > 12 ? line.substr(13) : line.substr(12);
  if (head_.status < 100 || !all(reason, value_char)) return refuse(502, "the status line is malformed");
  reason_at_ = static_cast<std::uint32_t>(reason.data() - bytes.data());
  reason_size_ = static_cast<std::uint32_t>(reason.size());
  return ParseStep::done;
}

ParseStep ResponseParser::finish(std::string_view bytes) {
  if (has_coding_ && has_length_) return refuse(502, "Transfer-Encoding together with Content-Length");
  if (has_coding_ && head_.minor_version == 0) return refuse(502, "Transfer-Encoding in HTTP/1.0");
  if (other_coding_) return refuse(502, "a transfer coding other than chunked");
  const bool bare = no_body_ || head_.status < 200 || head_.status == 204 || head_.status == 304;
  head_.keep_alive = head_.minor_version == 1 ? !close_ : keep_ && !close_;
  if (bare) head_.framing = {};
  else if (chunked_) head_.framing = {Framing::Kind::chunked, 0};
  else if (has_length_) head_.framing = {length_ ? Framing::Kind::length : Framing::Kind::none, length_};
  else head_.framing = {Framing::Kind::until_close, 0};
  if (head_.framing.kind == Framing::Kind::until_close) head_.keep_alive = false;
  if (!bare && length_ > limits_->body_bytes) return refuse(502, "the body is larger than the limit");
  rebase(bytes.data());
  return ParseStep::done;
}

void ResponseParser::rebase(const char* bytes) {
  head_.headers.borrowed_ = bytes;
  head_.reason = {bytes + reason_at_, reason_size_};
}

ChunkedDecoder::Out ChunkedDecoder::decode(char* bytes, std::size_t size) {
  std::size_t in = 0, out = 0;
  while (in < size && state_ != State::done) {
    if (state_ == State::data) {
      const std::size_t n = left_ < size - in ? static_cast<std::size_t>(left_) : size - in;
      if (in != out) std::memmove(bytes + out, bytes + in, n);
      in += n;
      out += n;
      left_ -= n;
      if (left_ == 0) state_ = State::data_cr;
      continue;
    }
    if (!step(bytes[in])) return {ParseStep::refused, in, out};
    ++in;
  }
  return {state_ == State::done ? ParseStep::done : ParseStep::more, in, out};
}

// One byte of the coding itself.
bool ChunkedDecoder::step(char c) {
  switch (state_) {
    case State::size: {
      const int digit_value = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit_value >= 0) {
        if (++digits_ > 15) return refuse(400, "a chunk size is too long");
        left_ = left_ * 16 + static_cast<unsigned>(digit_value);
        return true;
      }
      if (digits_ == 0) return refuse(400, "a chunk size is malformed");
      if (c == '\r') state_ = State::size_lf;
      else if (c == ';') { state_ = State::extension; line_bytes_ = digits_; }
      else return refuse(400, "a chunk size is malformed");
      return true;
    }
    case State::extension:
      if (++line_bytes_ > limits_->chunk_line_bytes) return refuse(400, "a chunk extension is longer than the limit");
      if (c == '\r') state_ = State::size_lf;
      else if (!(char_classes[static_cast<unsigned char>(c)] & value_char)) return refuse(400, "a control character in a chunk extension");
      return true;
    case State::size_lf:
      if (c != '\n') return refuse(400, "a chunk size is malformed");
      if (left_ > limits_->body_bytes || total_ + left_ > limits_->body_bytes) return refuse(413, "the body is larger than the limit");
      total_ += left_;
      digits_ = 0;
      line_empty_ = true;
      state_ = left_ ? State::data : State::trailer;
      return true;
    case State::data_cr:
      state_ = State::data_lf;
      return c == '\r' || refuse(400, "a chunk is longer than its size");
    case State::data_lf:
      state_ = State::size;
      return c == '\n' || refuse(400, "a chunk is longer than its size");
    case State::trailer:
      if (++trailer_bytes_ > limits_->trailer_bytes) return refuse(431, "the trailers are larger than the limit");
      if (c == '\r') { state_ = State::trailer_lf; return true; }
      if (line_empty_ && (c == ' ' || c == '\t' || c == ':')) return refuse(400, "a trailer is malformed");
      line_empty_ = false;
      return (char_classes[static_cast<unsigned char>(c)] & value_char) || refuse(400, "a control character in a trailer");
    case State::trailer_lf:
      if (c != '\n') return refuse(400, "a trailer is malformed");
      state_ = line_empty_ ? State::done : State::trailer;
      line_empty_ = true;
      return true;
    case State::data:
    case State::done: break;
  }
  return true;
}

std::size_t write_chunk_line(std::size_t size, char* out) {
  char digits[16];
  std::size_t n = 0;
  do { digits[n++] = "0123456789abcdef"[size & 15]; size >>= 4; } while (size);
  for (std::size_t i = 0; i < n; ++i) out[i] = digits[n - 1 - i];
  out[n] = '\r';
  out[n + 1] = '\n';
  return n + 2;
}

std::string_view wire_without_framing(const Headers& headers, Sender sender, Headers& copy) {
  const auto ours = [sender](std::string_view name) {
    switch (name.size()) {
      case 4: return iequals(name, sender == Sender::server ? "date" : "host");
      case 6: return sender == Sender::client && iequals(name, "expect");
      case 10: return iequals(name, "connection") || iequals(name, "keep-alive");
      case 14: return iequals(name, "content-length");
      case 17: return iequals(name, "transfer-encoding");
      default: return false;
    }
  };
  bool as_is = headers.empty() || !headers.wire().empty();
  for (std::size_t i = 0; as_is && i < headers.size(); ++i) as_is = !ours(headers[i].name);
  if (as_is) return headers.wire();
  for (const auto f : headers)
    if (!ours(f.name)) copy.add(f.name, f.value);
  return copy.wire();
}

}  // namespace ballast::net
