// Template: text with holes, for prompts and `template` stages.
//
//   Hello {{ .input.name }}                        a jq program over the input: text as it is, other JSON compact
//   {{? .input.nickname }}                         null leaves nothing; elsewhere null is an error that names the hole
//   {{# if .input.vip }}…{{# else }}…{{# end }}    by jq's truth
//   {{# each .input.items as $x }}- {{ $x.name }}
//   {{# end }}                                     an array, one item after the other
//   {{{{                                           two braces
//
// A {{# }} alone on its line takes the line with it. A hole gives exactly one value. What it gives is never read as a template.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "work/jq.hpp"

namespace ballast::work {

struct TemplateLimits {
  std::size_t max_bytes = 4u << 20;     // of the text
  std::size_t max_programs = 20'000;    // runs of holes, conditions and lists together
  JqLimits jq;                          // of each run
};

// Checked once. A value, cheap to copy, immutable, thread-safe.
class Template {
 public:
  static constexpr std::size_t max_template_bytes = 1u << 20;
  static constexpr std::size_t max_nested = 32;

  // caller_invalid_request with `field`, and the line and column of what is wrong.
  static Result<Template> compile(std::string_view text, std::string_view field = {});

  // Errors: those of Jq, and caller_too_large beyond a limit; each names the hole and its line and column.
  Result<std::string> render(const json::value& input, Jq::Variables variables = {}, TemplateLimits limits = {}) const;

  const std::string& text() const;
  // All that its programs may read; the items of its own lists are covered by the lists.
  const Jq::Reads& reads() const;
  // Variables that must be given, without the "$".
  const std::vector<std::string>& variables() const;

 private:
  struct State;
  explicit Template(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace ballast::work
