#include "work/template.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "work/jq_syntax.hpp"
#include "work/template_nodes.hpp"

namespace ballast::work {

struct Template::State {
  std::string text, field;
  std::vector<TemplateNode> nodes;
  Jq::Reads reads;
  std::vector<std::string> variables;
};

namespace {

using Bound = std::vector<std::string>;   // variables of the lists around
constexpr std::size_t kMaxShown = 60;     // bytes of a program in a message

// The union of what the programs read, without the lists' own variables.
class Gather {
 public:
  explicit Gather(Jq::Reads& reads, std::vector<std::string>& variables) : reads_(reads), variables_(variables) {}

  void walk(const std::vector<TemplateNode>& nodes, Bound& bound) {
    for (const auto& node : nodes) {
      if (node.program) add(*node.program, bound);
      if (node.kind == TemplateKind::list) bound.push_back(node.text);
      walk(node.inside, bound);
      if (node.kind == TemplateKind::list) bound.pop_back();
      walk(node.otherwise, bound);
    }
  }
  void finish() { reads_.paths.assign(paths_.begin(), paths_.end()); }

 private:
  void add(const Jq& program, const Bound& bound) {
    reads_.whole = reads_.whole || program.reads().whole;
    for (const auto& path : program.reads().paths)
      if (!path.front().starts_with('$') || std::ranges::find(bound, path.front().substr(1)) == bound.end()) paths_.insert(path);
    for (const auto& name : program.variables())
      if (std::ranges::find(bound, name) == bound.end() && std::ranges::find(variables_, name) == variables_.end()) variables_.push_back(name);
  }

  Jq::Reads& reads_;
  std::vector<std::string>& variables_;
  std::set<std::vector<std::string>> paths_;
};

class Renderer {
 public:
  Renderer(std::string_view text, const std::string& field, const json::value& input, const TemplateLimits& limits)
      : text_(text), field_(field), input_(input), limits_(limits) {}

  std::string out;

  Result<void> run(const std::vector<TemplateNode>& nodes, Jq::Variables variables) {
    for (const auto& node : nodes) {
      if (node.kind != TemplateKind::text && ++programs_ > limits_.max_programs)
        return fail(ErrorCode::caller_too_large, "the template runs more than " + std::to_string(limits_.max_programs) + " programs: list less", field_);
      if (auto done = one(node, variables); !done) return done;
      if (out.size() > limits_.max_bytes)
        return fail(ErrorCode::caller_too_large, "the text has more than " + std::to_string(limits_.max_bytes) + " bytes", field_);
    }
    return {};
  }

 private:
  Result<void> one(const TemplateNode& node, Jq::Variables variables) {
    switch (node.kind) {
      case TemplateKind::text: return out += node.text, Result<void>{};
      case TemplateKind::hole: return hole(node, variables);
      case TemplateKind::list: return list(node, variables);
      case TemplateKind::choice: break;
    }
    const auto truth = node.program->truth(input_, variables, limits_.jq);
    if (!truth) return wrong(node, truth.error());
    return run(*truth ? node.inside : node.otherwise, variables);
  }

  Result<void> hole(const TemplateNode& node, Jq::Variables variables) {
    const auto value = node.program->one(input_, variables, limits_.jq);
    if (!value) return wrong(node, value.error());
    if (value->is_string()) return out += std::string_view(value->get_string()), Result<void>{};
    if (!value->is_null()) return append_json(out, *value), Result<void>{};
    if (node.may_be_null) return {};
    return wrong(node, {ErrorCode::caller_invalid_request, "is null; write {{? … }} where nothing may stand", {}, false, {}, {}, {}, {}});
  }

  Result<void> list(const TemplateNode& node, Jq::Variables variables) {
    const auto items = node.program->one(input_, variables, limits_.jq);
    if (!items) return wrong(node, items.error());
    if (!items->is_array())
      return wrong(node, {ErrorCode::caller_invalid_request, "is not an array; put [ ] around what gives many values", {}, false, {}, {}, {}, {}});
    std::vector<std::pair<std::string_view, const json::value*>> inner(1);   // the innermost first: it hides those of its name
    inner.insert(inner.end(), variables.begin(), variables.end());
    for (const auto& item : items->get_array()) {
      inner.front() = {node.text, &item};
      if (auto done = run(node.inside, inner); !done) return done;
    }
    return {};
  }

  std::unexpected<Error> wrong(const TemplateNode& node, Error error) const {
    const auto shown = trim(node.program->text());
    const auto cut = utf8_prefix(shown, kMaxShown);
    error.message = jq_place(text_, node.at) + ": {{ " + std::string(cut) + (cut.size() < shown.size() ? "…" : "") + " }}: " + error.message;
    error.field = field_;
    return fail(std::move(error));
  }

  std::string_view text_;
  const std::string& field_;
  const json::value& input_;
  const TemplateLimits& limits_;
  std::size_t programs_ = 0;
};

}  // namespace

Result<Template> Template::compile(std::string_view text, std::string_view field) {
  if (text.size() > max_template_bytes)
    return fail(ErrorCode::caller_too_large, "a template has at most " + std::to_string(max_template_bytes >> 20) + " MiB", std::string(field));
  if (!is_utf8(text)) return fail(ErrorCode::caller_invalid_request, "a template is UTF-8 text", std::string(field));
  auto nodes = template_nodes(text);
  if (!nodes) {
    nodes.error().field = field;
    return fail(std::move(nodes.error()));
  }
  auto state = std::make_shared<State>(State{std::string(text), std::string(field), std::move(*nodes), {}, {}});
  Bound bound;
  Gather gather(state->reads, state->variables);
  gather.walk(state->nodes, bound);
  gather.finish();
  return Template(std::move(state));
}

Result<std::string> Template::render(const json::value& input, Jq::Variables variables, TemplateLimits limits) const {
  Renderer renderer(state_->text, state_->field, input, limits);
  if (auto done = renderer.run(state_->nodes, variables); !done) return fail(std::move(done.error()));
  return std::move(renderer.out);
}

const std::string& Template::text() const { return state_->text; }
const Jq::Reads& Template::reads() const { return state_->reads; }
const std::vector<std::string>& Template::variables() const { return state_->variables; }

}  // namespace ballast::work
