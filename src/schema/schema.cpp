#include "schema/schema.hpp"

#include <fmt/format.h>

#include "schema/evaluate.hpp"
#include "schema/match.hpp"
#include "schema/node.hpp"
#include "schema/plan.hpp"

namespace ballast::schema {

// What tells, and what answers: two forms of the same schema.
struct Compiled {
  explicit Compiled(std::shared_ptr<const Program> nodes) : program(std::move(nodes)), plan(*program) {}
  std::shared_ptr<const Program> program;
  Plan plan;
};

namespace {

// The buffers of one thread; what a very large instance made of them is given back.
Scratch& scratch() {
  thread_local Scratch mine;
  constexpr std::size_t most_kept = 1u << 16;
  mine.bits.clear();
  if (mine.hashes.capacity() > most_kept) mine.hashes = {};
  return mine;
}

}  // namespace

Result<Schema> Schema::compile(const json::value& schema, const CompileOptions& options) {
  auto program = build_program(schema, options);
  if (!program) return fail(std::move(program.error()));
  return Schema(std::make_shared<const Compiled>(std::move(*program)));
}

bool Schema::valid(const json::value& instance) const { return matches(*compiled_->program, compiled_->plan, scratch(), instance); }

std::vector<Violation> Schema::check(const json::value& instance, std::size_t most) const {
  constexpr std::size_t least_room = 64;  // more than asked for are gathered, so that the first of the instance are among them
  std::vector<Violation> out;
  if (valid(instance)) return out;
  Evaluator evaluator(*compiled_->program, scratch(), std::max(most, least_room));
  evaluator.run(instance);
  for (auto& found : evaluator.take_found()) {
    if (out.size() >= most) break;
    out.push_back(std::move(found.violation));
  }
  // The two count their steps differently: where one has met the limit, the other may be just within.
  if (out.empty() && most > 0) out.push_back({"", "", fmt::format("cannot be checked in the {} steps allowed", compiled_->program->max_steps)});
  return out;
}

Result<void> require(const Schema& schema, const json::value& instance, std::string_view field) {
  constexpr std::size_t most = 5;
  const auto violations = schema.check(instance, most);
  if (violations.empty()) return {};
  const std::string& first = violations.front().instance_path;
  std::string message = violations.front().message;
  for (std::size_t i = 1; i < violations.size(); ++i) {
    const auto& v = violations[i];
    message += v.instance_path == violations[i - 1].instance_path ? fmt::format("; {}", v.message) : fmt::format("; {}{}: {}", field, v.instance_path, v.message);
  }
  std::string place(field);
  place += field.empty() && !first.empty() ? first.substr(1) : first;
  return fail(ErrorCode::caller_invalid_request, std::move(message), std::move(place));
}

}  // namespace ballast::schema
