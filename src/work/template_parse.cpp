#include <utility>

#include "base/text.hpp"
#include "work/jq_syntax.hpp"
#include "work/template.hpp"
#include "work/template_nodes.hpp"

namespace ballast::work {
namespace {

// Past the string that begins at `at`, insertions included; npos if it does not end.
std::size_t string_end(std::string_view text, std::size_t at, std::size_t nested);

// Where the jq program that begins at `at` ends: at the first `stop` outside of its brackets and strings; npos if nowhere.
std::size_t program_end(std::string_view text, std::size_t at, std::string_view stop, std::size_t nested) {
  std::size_t open = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (open == 0 && text.substr(at).starts_with(stop)) return at;
    if (c == '"') {
      if (nested > Template::max_nested || (at = string_end(text, at, nested)) == std::string_view::npos) return at;
      continue;
    }
    if (c == '#') {
      at = text.find('\n', at);
      continue;
    }
    if (c == '(' || c == '[' || c == '{') ++open;
    if ((c == ')' || c == ']' || c == '}') && open > 0) --open;
    ++at;
  }
  return std::string_view::npos;
}

std::size_t string_end(std::string_view text, std::size_t at, std::size_t nested) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] != '\\') continue;
    ++at;
    if (at < text.size() && text[at] == '(') {
      at = program_end(text, at + 1, ")", nested + 1);
      if (at == std::string_view::npos) return at;
    }
  }
  return std::string_view::npos;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<TemplateNode>> all() {
    std::vector<TemplateNode> nodes;
    auto ended = block(nodes, 0);
    if (!ended) return fail(ended.error());
    if (ended->word.empty()) return nodes;
    return wrong("there is no {{# if }} or {{# each }} that this " + std::string(ended->word) + " belongs to", ended->at);
  }

 private:
  struct Ending {
    std::string_view word;   // "else", "end", or nothing at the end of the text
    std::size_t at;
  };
  struct Tag {
    std::string_view content;
    std::size_t at;          // of the {{
  };

  std::unexpected<Error> wrong(std::string what, std::size_t at) const {
    return fail(ErrorCode::caller_invalid_request, jq_place(text_, at) + ": " + std::move(what));
  }

  static void add_text(std::vector<TemplateNode>& nodes, std::string_view text) {
    if (text.empty()) return;
    if (nodes.empty() || nodes.back().kind != TemplateKind::text) nodes.emplace_back();
    nodes.back().text += text;
  }

  // Reads up to what ends this block.
  Result<Ending> block(std::vector<TemplateNode>& nodes, std::size_t nested) {
    if (nested > Template::max_nested) return wrong("blocks are nested too deeply", at_);
    for (;;) {
      const auto start = at_;
      const auto open = text_.find("{{", at_);
      if (open == std::string_view::npos) {
        add_text(nodes, text_.substr(start));
        at_ = text_.size();
        return Ending{{}, at_};
      }
      if (text_.substr(open).starts_with("{{{{")) {
        add_text(nodes, text_.substr(start, open + 2 - start));
        at_ = open + 4;
        continue;
      }
      auto tag = read_tag(open);
      if (!tag) return fail(tag.error());
      if (!tag->content.starts_with('#')) {
        add_text(nodes, text_.substr(start, open - start));
        if (auto added = hole(nodes, *tag); !added) return fail(added.error());
        continue;
      }
      add_text(nodes, text_.substr(start, alone(open) - start));
      const auto content = trim(tag->content.substr(1));
      if (content == "end" || content == "else") return Ending{content, open};
      if (auto added = section(nodes, *tag, content, nested); !added) return fail(added.error());
    }
  }

  Result<Tag> read_tag(std::size_t open) {
    const auto begin = open + 2;
    const std::size_t mark = begin < text_.size() && (text_[begin] == '#' || text_[begin] == '?') ? 1 : 0;
    const auto close = program_end(text_, begin + mark, "}}", 0);
    if (close == std::string_view::npos) return wrong("this {{ has no }}; write {{{{ for two braces", open);
    at_ = close + 2;
    return Tag{text_.substr(begin, close - begin), open};
  }

  // Where the text before a section's tag ends: where its line begins if nothing else is on it, whose end is then skipped too.
  std::size_t alone(std::size_t open) {
    const auto line = text_.rfind('\n', open) + 1;    // npos + 1 is 0
    const auto end = std::min(text_.find('\n', at_), text_.size());
    if (!trim(text_.substr(line, open - line)).empty() || !trim(text_.substr(at_, end - at_)).empty()) return open;
    at_ = std::min(end + 1, text_.size());
    return line;
  }

  Result<Jq> program(std::string_view text, std::size_t tag) const {
    if (trim(text).empty()) return wrong("an expression is missing", tag);
    auto made = Jq::compile(text);
    if (made) return made;
    // Once more where it stands, so that the places it tells are the template's.
    const auto at = static_cast<std::size_t>(text.data() - text_.data());
    std::string standing;
    for (const char c : text_.substr(0, at)) standing += c == '\n' ? '\n' : ' ';
    const auto told = Jq::compile(standing + std::string(text));
    return wrong(told ? made.error().message : told.error().message, tag);
  }

  Result<void> hole(std::vector<TemplateNode>& nodes, const Tag& tag) {
    TemplateNode node{TemplateKind::hole, {}, {}, tag.content.starts_with('?'), tag.at, {}, {}};
    auto made = program(tag.content.substr(node.may_be_null ? 1 : 0), tag.at);
    if (!made) return fail(made.error());
    node.program = std::move(*made);
    nodes.push_back(std::move(node));
    return {};
  }

  Result<void> section(std::vector<TemplateNode>& nodes, const Tag& tag, std::string_view content, std::size_t nested) {
    auto rest = content;
    const auto word = content.substr(0, content.find_first_of(" \t\n("));
    rest.remove_prefix(word.size());
    TemplateNode node{word == "if" ? TemplateKind::choice : TemplateKind::list, {}, {}, false, tag.at, {}, {}};
    if (word != "if" && word != "each")
      return wrong("there is no {{# " + std::string(word) + " }}: use {{# if … }}, {{# each … as $x }}, {{# else }} or {{# end }}", tag.at);
    if (word == "each") {
      const auto as = rest.rfind(" as $");
      const auto name = as == std::string_view::npos ? std::string_view{} : trim(rest.substr(as + 5));
      constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
      if (name.empty() || name.find_first_not_of(kLetters) != std::string_view::npos || (name[0] >= '0' && name[0] <= '9'))
        return wrong("write {{# each .list as $item }}", tag.at);
      node.text = name;
      rest = rest.substr(0, as);
    }
    auto made = program(rest, tag.at);
    if (!made) return fail(made.error());
    node.program = std::move(*made);
    auto ended = block(node.inside, nested + 1);
    if (ended && ended->word == "else") {
      if (word == "each") return wrong("{{# each }} has no {{# else }}: put {{# if }} around it", ended->at);
      ended = block(node.otherwise, nested + 1);
      if (ended && ended->word == "else") return wrong("a second {{# else }}", ended->at);
    }
    if (!ended) return fail(ended.error());
    if (ended->word.empty()) return wrong("this {{# " + std::string(word) + " }} has no {{# end }}", tag.at);
    nodes.push_back(std::move(node));
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<TemplateNode>> template_nodes(std::string_view text) { return Parser(text).all(); }

}  // namespace ballast::work
