#include "server/approval_page.hpp"

#include <fmt/format.h>

#include "base/json.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostShown = 2u << 20;             // characters of JSON, laid out
constexpr int kDeepestIndent = 40;
constexpr std::string_view kStyle =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "pre{background:#f4f4f4;border:1px solid #ccc;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    "dt{color:#666}dd{margin:0 0 .5rem;overflow-wrap:anywhere}textarea{width:100%;box-sizing:border-box}"
    "button{font:inherit;padding:.5rem 1.5rem;margin:1rem 1rem 0 0}";

// Zero-width, bidirectional and other invisible characters: the text would not be what it looks like.
bool deceives(char32_t c) {
  return c == 0xAD || c == 0x61C || c == 0x180E || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE0FFF) || (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
}

// The character at `at` and its length; `text` is UTF-8.
std::pair<char32_t, std::size_t> character(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0xC0) return {first, 1};
  if (first < 0xE0) return {((first & 0x1F) << 6) | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {((first & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
  return {((first & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F), 4};
}

void lay_out(std::string& out, const json::value& value, int depth) {
  if (out.size() > kMostShown) return;
  const auto indent = [&](int d) { out.append(1, '\n').append(static_cast<std::size_t>(2 * std::min(d, kDeepestIndent)), ' '); };
  if (const auto* o = value.if_object(); o && !o->empty()) {
    out += '{';
    for (bool first = true; const auto& [name, member] : *o) {
      if (!std::exchange(first, false)) out += ',';
      indent(depth + 1);
      append_json_string(out, name);
      out += ": ";
      lay_out(out, member, depth + 1);
    }
    indent(depth);
    out += '}';
  } else if (const auto* a = value.if_array(); a && !a->empty()) {
    out += '[';
    for (bool first = true; const auto& item : *a) {
      if (!std::exchange(first, false)) out += ',';
      indent(depth + 1);
      lay_out(out, item, depth + 1);
    }
    indent(depth);
    out += ']';
  } else {
    append_json(out, value);
  }
}

std::string page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
      "<meta name=\"robots\" content=\"noindex\"><title>{0}</title><style>{1}</style></head>\n<body><h1>{0}</h1>\n{2}</body></html>\n",
      escape_html(title), kStyle, body);
}

std::string_view style_source() {
  static const std::string source = [] {
    const Digest d = sha256(kStyle);
    return "sha256-" + to_base64({reinterpret_cast<const char*>(d.data()), d.size()});
  }();
  return source;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (std::size_t at = 0; at < text.size();) {
    const auto [c, length] = character(text, at);
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (c == '\'') out += "&#39;";
    else if (deceives(c)) out += fmt::format("\\u{{{:X}}}", static_cast<std::uint32_t>(c));
    else out += text.substr(at, length);
    at += length;
  }
  return out;
}

std::string question_page(const work::Approval& a, const work::ApprovalLink& link) {
  std::string shown;
  lay_out(shown, a.ask.shown, 0);
  if (shown.size() > kMostShown) return {};
  std::string body = fmt::format("<p>The run <b>{}</b> of the flow <b>{}</b> asks {} at its stage <b>{}</b>. If you approve, it goes on with exactly this:</p>\n<pre>{}</pre>\n",
                                 escape_html(to_string(a.id.job)), escape_html(a.ask.flow), escape_html("user:" + link.user), escape_html(a.ask.path), escape_html(shown));
  const std::string for_whom = a.ask.user.empty() ? "key " + a.ask.key_id : a.ask.user + " (key " + a.ask.key_id + ")";
  body += "<dl>";
  for (const auto& [name, text] : {std::pair("Why it asks", a.ask.policy), {"Submitted by", for_whom}, {"Asked at", to_rfc3339(a.asked)},
                                   {"Open until", to_rfc3339(std::min(a.ask.expires, link.expires))}, {"Digest (SHA-256)", to_hex(a.digest)}})
    body += fmt::format("<dt>{}</dt><dd>{}</dd>", name, escape_html(text));
  body += fmt::format("</dl>\n<form method=\"post\"><input type=\"hidden\" name=\"digest\" value=\"{}\"><label>Note, kept with your decision:"
                      "<textarea name=\"note\" rows=\"2\" maxlength=\"{}\"></textarea></label>\n",
                      to_hex(a.digest), work::kMaxNote / 4);
  if (link.may_approve) body += "<button name=\"decision\" value=\"approve\">Approve</button>";
  if (link.may_reject) body += "<button name=\"decision\" value=\"reject\">Reject</button>";
  return page("A decision is asked of you", body + "</form>\n");
}

std::string notice_page(std::string_view title, std::string_view text) { return page(title, fmt::format("<p>{}</p>\n", escape_html(text))); }

net::Headers page_headers() {
  return {{"content-type", "text/html; charset=utf-8"},
          {"cache-control", "no-store"},
          {"content-security-policy", fmt::format("default-src 'none'; style-src '{}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", style_source())},
          {"referrer-policy", "no-referrer"},
          {"x-content-type-options", "nosniff"},
          {"x-frame-options", "DENY"},
          {"x-robots-tag", "noindex"}};
}

}  // namespace ballast::server
