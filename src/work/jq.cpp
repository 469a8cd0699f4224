#include "work/jq.hpp"

extern "C" {
#include <jq.h>   // has no linkage of its own
}

#include <algorithm>
#include <list>
#include <unordered_map>

#include "base/text.hpp"
#include "work/jq_meter.hpp"
#include "work/jq_syntax.hpp"
#include "work/jq_values.hpp"

namespace ballast::work {
namespace {

constexpr std::size_t kCompiledPerThread = 128;
constexpr std::size_t kCompileMemory = 64u << 20;
constexpr auto kCompileTime = std::chrono::seconds(2);
constexpr std::size_t kMaxMessage = 500;

// jq's message without what only its command line needs.
std::string tidy(std::string_view message) {
  std::string out(message.substr(0, message.rfind(" at <top-level>")));
  for (std::string_view cut : {"jq: error: ", " (Unix shell quoting issues?)"})
    if (const auto at = out.find(cut); at != std::string::npos) out.erase(at, cut.size());
  return std::string(utf8_prefix(out, kMaxMessage));
}

std::string too_far(JqStop stop) {
  switch (stop) {
    case JqStop::time: return "the program runs longer than it may: loop over less, or end the loop";
    case JqStop::memory: return "the program needs more memory than it may: build less at once";
    case JqStop::broken: return "libjq 1.6 cannot do this; write it in another way";
    default: return "the program builds or walks a value that is nested too deeply";
  }
}

// One program compiled for one thread. Everything libjq made for it is in `heap`.
struct Compiled {
  JqHeap heap;
  jq_state* jq = nullptr;
};

struct Compiling {
  jq_state*& jq;
  const char* text;
  std::string* first_message;
  bool good = false;
};

void keep_first(void* data, jv message) {
  const JqPause pause;      // a std::string is no thing to leap over
  auto& first = *static_cast<std::string*>(data);
  const jv text = jq_format_error(message);
  if (first.empty() && jv_get_kind(text) == JV_KIND_STRING) first = jv_string_value(text);
  jv_free(text);
}

Result<std::unique_ptr<Compiled>> compile_here(const std::string& text) {
  if (!jq_meter_in_place())
    return fail(ErrorCode::internal_error, "this libjq was linked so that its functions cannot be metered; use Debian's libjq1");
  auto made = std::make_unique<Compiled>();
  std::string message;
  Compiling work{made->jq, text.c_str(), &message};
  JqBudget budget{kCompileTime, kCompileMemory};
  const auto stop = jq_metered(made->heap, budget, [](void* p) {
    auto& w = *static_cast<Compiling*>(p);
    w.jq = jq_init();
    jq_set_error_cb(w.jq, keep_first, w.first_message);
    w.good = jq_compile(w.jq, w.text) != 0;
    jq_set_error_cb(w.jq, nullptr, nullptr);
  }, &work);
  if (stop != JqStop::none) return fail(ErrorCode::caller_too_large, too_far(stop));
  if (!work.good) return fail(ErrorCode::caller_invalid_request, tidy(message));
  return made;
}

// This thread's compiled programs, the last used first.
class Shelf {
 public:
  Result<Compiled*> get(const std::string& text) {
    if (const auto found = by_text_.find(text); found != by_text_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return order_.front().second.get();
    }
    auto made = compile_here(text);
    if (!made) return fail(std::move(made.error()));
    order_.emplace_front(text, std::move(*made));
    by_text_.emplace(order_.front().first, order_.begin());
    if (order_.size() > kCompiledPerThread) drop(order_.back().first);
    return order_.front().second.get();
  }
  void drop(std::string_view text) {
    const auto found = by_text_.find(text);
    if (found == by_text_.end()) return;
    const auto entry = found->second;
    by_text_.erase(found);
    order_.erase(entry);
  }

 private:
  using Order = std::list<std::pair<std::string, std::unique_ptr<Compiled>>>;
  Order order_;
  std::unordered_map<std::string_view, Order::iterator> by_text_;
};

Shelf& shelf() {
  thread_local Shelf of_this_thread;
  return of_this_thread;
}

}  // namespace

struct Jq::State {
  std::string text;
  std::string field;
  std::string wrapped;     // what libjq compiles: with free variables, `.[1] as $a | .[0] | TEXT`
  JqFacts facts;
};

namespace {

struct Step {
  jq_state* jq;
  jv value;
  bool done;
};

// Runs one program on one input; outputs come one by one.
class Run {
 public:
  Run(const std::string& wrapped, const Jq::Limits& limits) : wrapped_(wrapped), limits_(limits) {}
  ~Run() {
    if (started_ && !ended_) step([](void* p) { jq_start(static_cast<Step*>(p)->jq, jv_null(), 0); });
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  template <class Make>
  Result<void> start(Make make) {
    auto compiled = shelf().get(wrapped_);
    if (!compiled) return fail(std::move(compiled.error()));
    compiled_ = *compiled;
    budget_.max_bytes = compiled_->heap.bytes + limits_.max_memory;
    {
      const JqOwner owner(compiled_->heap);
      auto input = make();
      if (!input) return fail(std::move(input.error()));
      step_.value = *input;
    }
    started_ = true;
    return step([](void* p) { jq_start(static_cast<Step*>(p)->jq, static_cast<Step*>(p)->value, 0); });
  }

  // The next output, or nothing at the end.
  Result<std::optional<json::value>> next() {
    auto went = step([](void* p) {
      auto& s = *static_cast<Step*>(p);
      s.value = jq_next(s.jq);
    });
    if (!went) return fail(std::move(went.error()));
    if (!jv_is_valid(step_.value)) {
      ended_ = true;
      return message();
    }
    auto out = [&] {
      const JqOwner owner(compiled_->heap);
      return jq_from_jv(step_.value, limits_.max_output_bytes, bytes_);
    }();
    auto freed = step([](void* p) { jv_free(static_cast<Step*>(p)->value); });
    if (!out) return fail(std::move(out.error()));
    if (!freed) return fail(std::move(freed.error()));
    return std::optional<json::value>(std::move(*out));
  }

 private:
  Result<std::optional<json::value>> message() {
    const JqOwner owner(compiled_->heap);
    if (!jv_invalid_has_msg(jv_copy(step_.value))) return jv_free(step_.value), std::optional<json::value>{};
    const jv text = jv_invalid_get_msg(step_.value);
    std::string said = "the program's own error is not a text";
    if (jv_get_kind(text) == JV_KIND_STRING) said = utf8_prefix(jv_string_value(text), kMaxMessage);
    step_.value = text;
    auto freed = step([](void* p) { jv_free(static_cast<Step*>(p)->value); });
    if (!freed) return fail(std::move(freed.error()));
    return fail(ErrorCode::caller_invalid_request, std::move(said));
  }

  Result<void> step(void (*body)(void*)) {
    step_.jq = compiled_->jq;
    const auto stop = jq_metered(compiled_->heap, budget_, body, &step_);
    if (stop == JqStop::none) return {};
    ended_ = true;
    shelf().drop(wrapped_);
    return fail(ErrorCode::caller_too_large, too_far(stop));
  }

  const std::string& wrapped_;
  const Jq::Limits& limits_;
  JqBudget budget_{limits_.time, 0};
  Compiled* compiled_ = nullptr;
  std::size_t bytes_ = 0;
  bool started_ = false;
  bool ended_ = false;
  Step step_{};
};

Error placed(Error error, const std::string& field) {
  if (!field.empty()) error.field = field;
  return error;
}

}  // namespace

Result<Jq> Jq::compile(std::string_view program, std::string_view field) {
  const std::string place(field);
  if (program.size() > max_program_bytes)
    return fail(ErrorCode::caller_too_large, "a program has at most " + std::to_string(max_program_bytes >> 10) + " KiB", place);
  if (trim(program).empty()) return fail(ErrorCode::caller_invalid_request, "an empty program: write . for the input itself", place);
  if (!is_utf8(program) || program.find('\0') != std::string_view::npos)
    return fail(ErrorCode::caller_invalid_request, "a program is UTF-8 text without NUL", place);
  auto state = std::make_shared<State>();
  state->text = program;
  state->field = place;
  bool syntax = false;
  auto facts = jq_facts(program, syntax);
  if (!facts && !syntax) return fail(placed(std::move(facts.error()), place));
  if (!facts) {      // libjq says it in the words people look up
    auto theirs = compile_here(state->text);
    Error error = facts.error();
    if (!theirs) error.message = theirs.error().message + "; " + error.message;
    return fail(placed(std::move(error), place));
  }
  state->facts = std::move(*facts);
  std::size_t i = 0;
  for (const auto& name : state->facts.variables) state->wrapped += ".[" + std::to_string(++i) + "] as $" + name + " | ";
  state->wrapped += i > 0 ? ".[0] | " + state->text : state->text;
  auto compiled = shelf().get(state->wrapped);
  if (!compiled) return fail(placed(std::move(compiled.error()), place));
  return Jq(std::move(state));
}

const std::string& Jq::text() const { return state_->text; }
const Jq::Reads& Jq::reads() const { return state_->facts.reads; }
const std::vector<std::string>& Jq::variables() const { return state_->facts.variables; }

namespace {

// The input of the wrapped program, from the values given.
Result<jv> make_input(const JqFacts& facts, const json::value& input, Jq::Variables variables) {
  const auto root = jq_to_jv(input, {}, facts.reads);
  if (!root || facts.variables.empty()) return root;
  jv all = jv_array_append(jv_array(), *root);
  for (const auto& name : facts.variables) {
    const auto given = std::ranges::find(variables, std::string_view(name), &std::pair<std::string_view, const json::value*>::first);
    auto value = given == variables.end() ? Result<jv>(fail(ErrorCode::caller_invalid_request, "$" + name + " is not given here"))
                                          : jq_to_jv(*given->second, "$" + name, facts.reads);
    if (!value) return jv_free(all), value;
    all = jv_array_append(all, *value);
  }
  return all;
}

}  // namespace

Result<std::vector<json::value>> Jq::all(const json::value& input, Variables variables, Limits limits) const {
  Run run(state_->wrapped, limits);
  std::vector<json::value> out;
  if (auto began = run.start([&] { return make_input(state_->facts, input, variables); }); !began)
    return fail(placed(std::move(began.error()), state_->field));
  for (;;) {
    auto value = run.next();
    if (!value) return fail(placed(std::move(value.error()), state_->field));
    if (!*value) return out;
    if (out.size() == limits.max_outputs)
      return fail(ErrorCode::caller_too_large, "more than " + std::to_string(limits.max_outputs) + " outputs: collect less", state_->field);
    out.push_back(std::move(**value));
  }
}

Result<json::value> Jq::one(const json::value& input, Variables variables, Limits limits) const {
  Run run(state_->wrapped, limits);
  if (auto began = run.start([&] { return make_input(state_->facts, input, variables); }); !began)
    return fail(placed(std::move(began.error()), state_->field));
  auto value = run.next();
  if (!value) return fail(placed(std::move(value.error()), state_->field));
  if (!*value)
    return fail(ErrorCode::caller_invalid_request, "the program gave nothing where one value is needed: add // null", state_->field);
  auto second = run.next();
  if (!second) return fail(placed(std::move(second.error()), state_->field));
  if (*second)
    return fail(ErrorCode::caller_invalid_request, "the program gave more than one value: put [ ] around it, or first( )", state_->field);
  return std::move(**value);
}

Result<bool> Jq::truth(const json::value& input, Variables variables, Limits limits) const {
  Run run(state_->wrapped, limits);
  if (auto began = run.start([&] { return make_input(state_->facts, input, variables); }); !began)
    return fail(placed(std::move(began.error()), state_->field));
  auto value = run.next();
  if (!value) return fail(placed(std::move(value.error()), state_->field));
  if (!*value)
    return fail(ErrorCode::caller_invalid_request, "the condition gave nothing: add // false", state_->field);
  return !((*value)->is_null() || ((*value)->is_bool() && !(*value)->get_bool()));
}

}  // namespace ballast::work
