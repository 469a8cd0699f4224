// A reader of jq's grammar (parser.y of 1.6) that evaluates each expression abstractly while it reads it: to the set of paths of
// the input and of variables that its outputs may still be. A path that is looked into further grows; whatever is used in any
// other way is noted as read, with everything below it, and what is made of it needs no more watching.
#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "work/jq_syntax.hpp"

namespace ballast::work {
namespace {

using Path = std::vector<std::string>;
using Flow = std::set<Path>;
constexpr int kMaxDepth = 600;
constexpr std::size_t kMaxPaths = 64;   // beyond, everything is noted as read

struct Refusal {
  std::string why;       // empty: the grammar was not understood
  std::size_t at;
};

// Functions that look at their input only through their arguments.
constexpr std::string_view kThrough = " first/1 last/1 limit/2 isempty/1 range/1 range/2 range/3 empty/0 nan/0 infinite/0 error/1"
                                      " null/0 true/0 false/0 any/2 all/2 IN/2 INDEX/2 ";

class Reader {
 public:
  JqFacts facts;

  void program(const std::vector<JqToken>& tokens) {
    tokens_ = &tokens;
    read_all(pipe({Path{}}));
    if (now().kind != JqTokenKind::end) unknown();
    finish();
  }

 private:
  const JqToken& now() const { return (*tokens_)[at_]; }
  const JqToken& ahead() const { return (*tokens_)[std::min(at_ + 1, tokens_->size() - 1)]; }
  [[noreturn]] void unknown() const { throw Refusal{{}, now().at}; }
  bool is(std::string_view text) const {
    return (now().kind == JqTokenKind::op || now().kind == JqTokenKind::name) && now().text == text;
  }
  bool take(std::string_view text) { return is(text) && (++at_, true); }
  void need(std::string_view text) {
    if (!take(text)) unknown();
  }

  void read(const Path& path) {
    if (path.empty()) facts.reads.whole = true;
    else read_.insert(path);
  }
  void read_all(const Flow& flow) {
    for (const auto& path : flow) read(path);
  }
  Flow joined(Flow a, const Flow& b) {
    a.insert(b.begin(), b.end());
    if (a.size() <= kMaxPaths) return a;
    read_all(a);
    return {};
  }
  Flow below(const Flow& flow, const std::string& name) {
    Flow deeper;
    for (auto path : flow) {
      if (path.empty() && name.starts_with('$')) {   // a member that looks like a variable
        read(path);
        continue;
      }
      path.push_back(name);
      deeper.insert(std::move(path));
    }
    touched_.insert(deeper.begin(), deeper.end());
    return deeper;
  }

  void finish() {
    for (auto path = touched_.rbegin(); path != touched_.rend(); ++path) {   // the deepest first
      const auto next = read_.lower_bound(*path);
      const bool on_the_way = next != read_.end() && next->size() >= path->size() && std::equal(path->begin(), path->end(), next->begin());
      if (!on_the_way) read_.insert(*path);
    }
    for (const auto& path : read_) {   // sorted: a prefix comes before what lies below it
      auto& kept = facts.reads.paths;
      const bool covered = !kept.empty() && kept.back().size() <= path.size() && std::equal(kept.back().begin(), kept.back().end(), path.begin());
      if (!covered) kept.push_back(path);
    }
  }

  struct Depth {
    explicit Depth(Reader& reader) : reader(reader) {
      if (++reader.depth_ > kMaxDepth) throw Refusal{"the program is nested too deeply", reader.now().at};
    }
    ~Depth() { --reader.depth_; }
    Reader& reader;
  };

  // Exp: the whole of it, `|` included.
  Flow pipe(const Flow& in) {
    const Depth depth(*this);
    if (take("def")) {
      definition();
      return pipe(in);
    }
    if (is("label") && ahead().kind == JqTokenKind::variable) {
      at_ += 2;
      need("|");
      return pipe(in);
    }
    const auto scope = bound_.size();
    auto left = comma(in);
    if (bound_.size() > scope) {   // TERM as PATTERN | BODY, met below: the body sees this input
      need("|");
      auto out = pipe(in);
      bound_.resize(scope);
      return joined(std::move(left), out);
    }
    return take("|") ? pipe(left) : left;
  }

  Flow comma(const Flow& in) {
    const auto scope = bound_.size();
    auto left = operators(in, 0);
    while (bound_.size() == scope && take(",")) left = joined(std::move(left), operators(in, 0));
    return left;
  }

  static int level(const JqToken& token) {
    constexpr auto kLevels = std::to_array<std::string_view>({" // ", " = |= += -= *= /= %= //= ", " or ", " and ", " == != < > <= >= ",
                                                              " + - ", " * / % "});
    if (token.kind != JqTokenKind::op && token.kind != JqTokenKind::name) return -1;
    for (int i = 0; i < static_cast<int>(kLevels.size()); ++i)
      if (kLevels[static_cast<std::size_t>(i)].find(" " + token.text + " ") != std::string_view::npos) return i;
    return -1;
  }

  Flow operators(const Flow& in, int lowest) {
    const Depth depth(*this);
    const auto scope = bound_.size();
    auto left = unary(in);
    for (int found = level(now()); bound_.size() == scope && found >= lowest; found = level(now())) {
      ++at_;
      read_all(left);
      if (found == 1) read_all(in);    // an assignment gives back its input
      auto right = operators(in, found == 0 ? 0 : found + 1);
      if (found == 0) {
        left = joined(std::move(left), right);
      } else {
        read_all(right);
        left.clear();
      }
    }
    return left;
  }

  Flow unary(const Flow& in) {
    if (take("-")) return read_all(operators(in, 6)), Flow{};
    if (is("reduce") || is("foreach")) return fold(in);
    if (take("if")) return choice(in);
    if (take("try")) {
      auto body = questions(unary(in));
      if (!take("catch")) return body;
      read_all(in);       // an error's message quotes what it met
      read_all(unary({}));
      return body;
    }
    if (take("def")) {
      definition();
      return unary(in);
    }
    auto value = term(in);
    if (!take("as")) return value;
    patterns(std::move(value));
    return {};
  }

  Flow fold(const Flow& in) {
    const bool each = now().text == "foreach";
    ++at_;
    const auto scope = bound_.size();
    auto source = term(in);
    read_all(source);
    need("as");
    patterns({});
    need("(");
    read_all(pipe(in));
    need(";");
    read_all(pipe({}));
    if (each && take(";")) read_all(pipe({}));
    need(")");
    bound_.resize(scope);
    return questions({});
  }

  Flow choice(const Flow& in) {
    read_all(pipe(in));
    need("then");
    auto out = pipe(in);
    if (take("elif")) return joined(std::move(out), choice(in));
    need("else");
    out = joined(std::move(out), pipe(in));
    need("end");
    return questions(std::move(out));
  }

  Flow questions(Flow flow) {
    while (take("?")) {}
    return flow;
  }

  // def NAME: BODY; or def NAME(f; $x): BODY; What calls it is not followed: the program reads the whole.
  void definition() {
    facts.reads.whole = true;
    const auto name = now().text;
    if (now().kind != JqTokenKind::name) unknown();
    if (jq_reserved(name)) throw Refusal{"a definition may not be called " + name, now().at};
    ++at_;
    const auto scope = bound_.size();
    std::size_t arity = 0;
    if (take("(")) {
      do {
        ++arity;
        if (now().kind == JqTokenKind::variable) bind({}), defined_.insert(now().text + "/0");
        else if (now().kind == JqTokenKind::name && !jq_reserved(now().text)) defined_.insert(now().text + "/0");
        else unknown();
        ++at_;
      } while (take(";"));
      need(")");
    }
    need(":");
    defined_.insert(name + "/" + std::to_string(arity));
    read_all(pipe({}));
    need(";");
    bound_.resize(scope);
  }

  void bind(Flow flow) { bound_.emplace_back(now().text, std::move(flow)); }

  void patterns(Flow value) {
    pattern(value);
    while (take("?//")) pattern(value);
  }

  void pattern(const Flow& value) {
    const Depth depth(*this);
    if (now().kind == JqTokenKind::variable) {
      bind(value);
      ++at_;
      return;
    }
    read_all(value);
    if (take("[")) {
      do pattern({});
      while (take(","));
      need("]");
      return;
    }
    need("{");
    do {
      if (now().kind == JqTokenKind::variable) bind({}), ++at_;
      else if (take("(")) read_all(pipe({})), need(")");
      else if (now().kind == JqTokenKind::string) read_all(string({}));
      else if (now().kind == JqTokenKind::name) ++at_;
      else unknown();
      if (take(":")) pattern({});
    } while (take(","));
    need("}");
  }

  Flow term(const Flow& in) {
    const Depth depth(*this);
    auto value = head(in);
    for (;;) {
      if (take("?")) continue;
      if (now().kind == JqTokenKind::field) value = below(value, now().text), ++at_;
      else if (is(".") && ahead().kind == JqTokenKind::string) ++at_, value = member(value, in);
      else if (is("[")) value = index(value, in);
      else return value;
    }
  }

  Flow head(const Flow& in) {
    const auto& token = now();
    switch (token.kind) {
      case JqTokenKind::number: return ++at_, Flow{};
      case JqTokenKind::string: return string(in);
      case JqTokenKind::field: return ++at_, below(in, token.text);
      case JqTokenKind::variable: return ++at_, variable(token);
      case JqTokenKind::format: return format(in);
      case JqTokenKind::name: return call(in);
      case JqTokenKind::end: unknown();
      case JqTokenKind::op: break;
    }
    if (take("..")) return read_all(in), Flow{};
    if (take(".")) return now().kind == JqTokenKind::string ? member(in, in) : in;
    if (take("(")) {
      auto value = pipe(in);
      need(")");
      return value;
    }
    if (take("[")) {
      if (!is("]")) read_all(pipe(in));
      need("]");
      return {};
    }
    if (is("{")) return object(in);
    unknown();
  }

  Flow member(const Flow& value, const Flow& in) {
    if (now().inserted.empty()) return below(value, (*tokens_)[at_++].text);
    read_all(value);
    return string(in);
  }

  Flow index(const Flow& value, const Flow& in) {
    need("[");
    if (now().kind == JqTokenKind::string && now().inserted.empty() && ahead().text == "]" && ahead().kind == JqTokenKind::op) {
      auto deeper = below(value, now().text);
      at_ += 2;
      return deeper;
    }
    read_all(value);
    if (!is("]") && !is(":")) read_all(pipe(in));
    if (take(":") && !is("]")) read_all(pipe(in));
    need("]");
    return {};
  }

  Flow string(const Flow& in) {
    const auto& token = (*tokens_)[at_++];
    for (const auto& inner : token.inserted) {
      const auto* outer = std::exchange(tokens_, &inner);
      const auto after = std::exchange(at_, 0);
      read_all(pipe(in));
      if (now().kind != JqTokenKind::end) unknown();
      tokens_ = outer;
      at_ = after;
    }
    return {};
  }

  Flow format(const Flow& in) {
    if (!jq_format_allowed(now().text)) throw Refusal{"there is no format @" + now().text, now().at};
    ++at_;
    if (now().kind == JqTokenKind::string) return string(in);
    return read_all(in), Flow{};
  }

  Flow variable(const JqToken& token) {
    for (auto i = bound_.size(); i-- > 0;)
      if (bound_[i].first == token.text) return bound_[i].second;
    if (token.text == "ENV" || token.text.starts_with("__"))
      throw Refusal{"$" + token.text + " is not allowed here: it looks outside of the program; declare what you need as an input", token.at};
    if (token.text.find(':') != std::string::npos) throw Refusal{"there are no modules", token.at};
    if (std::ranges::find(facts.variables, token.text) == facts.variables.end()) facts.variables.push_back(token.text);
    touched_.insert(Path{"$" + token.text});
    return {Path{"$" + token.text}};
  }

  Flow call(const Flow& in) {
    const auto& token = (*tokens_)[at_++];
    constexpr std::string_view kKeywords = " then else elif end and or as catch ";
    if (kKeywords.find(" " + token.text + " ") != std::string_view::npos) throw Refusal{{}, token.at};
    if (token.text == "break" && now().kind == JqTokenKind::variable) return ++at_, Flow{};
    const auto name_end = at_;
    const std::size_t arity = take("(") ? arguments() : 0;   // counted first: what it reads depends on it
    const auto id = token.text + "/" + std::to_string(arity);
    if (!defined_.contains(id))
      if (const auto why = jq_refusal(token.text, arity); !why.empty()) throw Refusal{why, token.at};
    at_ = name_end;
    const bool mine = defined_.contains(id);
    if (id == "select/1" && !mine) {
      need("("), read_all(pipe(in)), need(")");
      return in;
    }
    const bool through = !mine && kThrough.find(" " + id + " ") != std::string_view::npos;
    if (!through) read_all(in);
    if (arity > 0) {
      need("(");
      do read_all(pipe(through ? in : Flow{}));
      while (take(";"));
      need(")");
    }
    return {};
  }

  // The number of arguments of a call whose "(" was just taken: one more than the ";" at its own depth, those of a `def` aside.
  std::size_t arguments() const {
    std::size_t n = 1, open = 0;
    std::vector<std::size_t> definitions;   // depths at which a `def` waits for its ";"
    for (auto i = at_; i < tokens_->size(); ++i) {
      const auto& token = (*tokens_)[i];
      if (token.kind == JqTokenKind::name && token.text == "def") definitions.push_back(open);
      if (token.kind != JqTokenKind::op) continue;
      if (token.text == "(" || token.text == "[" || token.text == "{") ++open;
      if (token.text == ")" || token.text == "]" || token.text == "}") {
        if (open == 0) return n;
        --open;
      }
      if (token.text != ";") continue;
      if (!definitions.empty() && definitions.back() == open) definitions.pop_back();
      else if (open == 0) ++n;
    }
    unknown();
  }

  Flow object(const Flow& in) {
    need("{");
    if (take("}")) return {};
    do {
      const auto& key = now();
      bool value = false;
      if (key.kind == JqTokenKind::variable) {
        read_all(variable(key)), ++at_;
      } else if (take("(")) {
        read_all(pipe(in)), need(")"), value = true;
      } else if (key.kind == JqTokenKind::string || key.kind == JqTokenKind::format) {
        read_all(key.kind == JqTokenKind::string ? string(in) : format(in));
        if (!is(":")) read_all(key.inserted.empty() ? below(in, key.text) : in);
      } else if (key.kind == JqTokenKind::name || key.kind == JqTokenKind::number) {
        ++at_;
        if (!is(":")) read_all(below(in, key.text));
      } else {
        unknown();
      }
      if (value && !is(":")) unknown();
      if (take(":")) object_value(in);
    } while (take(","));
    need("}");
    return {};
  }

  // ExpD: terms joined by `|`, without commas.
  void object_value(const Flow& in) {
    if (take("-")) return object_value(in);
    auto value = term(in);
    while (take("|")) value = take("-") ? Flow{} : term(value);
    read_all(value);
  }

  const std::vector<JqToken>* tokens_ = nullptr;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::set<Path> read_;
  std::set<Path> touched_;                                 // looked into: even if nothing is made of it, it may be the wrong type
  std::set<std::string> defined_;                          // name/arity
  std::vector<std::pair<std::string, Flow>> bound_;        // variables in scope, the innermost last
};

}  // namespace

Result<JqFacts> jq_facts(std::string_view program, bool& syntax) {
  auto tokens = jq_tokens(program);
  syntax = !tokens;
  if (!tokens) return fail(tokens.error());
  Reader reader;
  try {
    reader.program(*tokens);
  } catch (const Refusal& refusal) {
    syntax = refusal.why.empty();
    const auto why = syntax ? std::string("this is not understood") : refusal.why;
    return fail(ErrorCode::caller_invalid_request, why + " (" + jq_place(program, refusal.at) + ")");
  }
  return std::move(reader.facts);
}

}  // namespace ballast::work
