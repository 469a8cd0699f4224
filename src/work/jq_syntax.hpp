// The grammar of jq 1.6 read by ourselves: what a program calls, which variables it needs and what it may read, before libjq sees it.
// Pure, thread-safe. For work/jq*.cpp and work/template*.cpp alone.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "work/jq.hpp"

namespace ballast::work {

enum class JqTokenKind : unsigned char { end, op, name, variable, field, number, string, format };

struct JqToken {
  JqTokenKind kind = JqTokenKind::end;
  std::string text;                              // a field without its dot, a variable without its "$", a string without escapes
  std::size_t at = 0;                            // byte offset
  std::vector<std::vector<JqToken>> inserted;    // of a string: the programs inside \( ), each ended
};

// Error: caller_invalid_request with the line and column.
Result<std::vector<JqToken>> jq_tokens(std::string_view program);

// "line 2, column 5" of a byte offset, counted in bytes from 1.
std::string jq_place(std::string_view program, std::size_t at);

struct JqFacts {
  Jq::Reads reads;
  std::vector<std::string> variables;   // free ones, in order of first use
};

// Error: caller_invalid_request: a function or format outside the allow-list, with its place and what to use instead. `syntax` is
// set where the program is not understood; libjq then says it in the words people know.
Result<JqFacts> jq_facts(std::string_view program, bool& syntax);

// Why `name/arity` may not be called, with what to use instead; empty if it may. `known` is whether jq 1.6 has it at all.
std::string jq_refusal(std::string_view name, std::size_t arity);
bool jq_format_allowed(std::string_view name);

// A name that no definition in a program may take: refused builtins and jq's own operators.
bool jq_reserved(std::string_view name);

}  // namespace ballast::work
