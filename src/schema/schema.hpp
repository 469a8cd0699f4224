// JSON Schema, compiled: a schema is read once, then judges instances from any thread.
//
//   auto schema = Schema::compile(document);
//   if (!schema) return fail(schema.error());                     // caller_invalid_request, field "/properties/age/minimum"
//   for (const auto& v : schema->check(instance)) …               // "/items/3/price": must be at least 0, is -3
//
// Drafts: 2020-12 and 7 in full; 2019-09, 6 and 4 too, because published schemas still use them. `$schema` decides, for each
// embedded resource of its own. Numbers are compared by their mathematical value (1.0 is an integer, except in draft 4).
// Nothing is ever fetched: a reference must lead into the schema itself, a registered document or a draft's meta-schema.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::schema {

enum class Draft : unsigned char { d4, d6, d7, d2019_09, d2020_12 };

// One reason why an instance is refused.
struct Violation {
  std::string instance_path;  // RFC 6901: "/items/3/price"; "" is the whole instance
  std::string schema_path;    // the road through the schema, references included: "/properties/items/items/$ref/minimum"
  std::string message;        // "must be at least 0, is -3": for a person and for a model that is to do better
};

struct CompileOptions {
  std::map<std::string, json::value, std::less<>> documents;  // what `$ref` and `$schema` may lead to, by absolute URI without fragment
  Draft default_draft = Draft::d2020_12;                      // of a schema without `$schema`
  bool assert_format = false;                                 // `format` refuses; otherwise it is a remark, as the drafts say
  // Limits. What is above one of the first two does not compile (caller_too_large); an instance that needs more than the last three
  // allow is refused with a violation that says so, whatever `not` or `anyOf` would have made of it.
  std::size_t max_nodes = 200'000;            // subschemas that can be reached
  std::size_t max_pattern_bytes = 16u << 10;  // of one regular expression
  std::size_t max_depth = 1'500;              // of schemas applied inside each other; about 1 KB of stack each
  std::uint64_t max_steps = 50'000'000;       // schemas applied; tens of nanoseconds each
  std::uint64_t max_pattern_steps = 2'000'000;  // of one match of one regular expression
};

struct Compiled;  // private: schema.cpp

// A compiled schema: a value that shares immutable state, so that copying is cheap and every const method is thread-safe.
class Schema {
 public:
  // Errors: caller_invalid_request, with `field` the path in the schema, for a keyword of the wrong shape, a reference that leads
  // nowhere, a reference that leads back to itself without a step into the instance, a regular expression that is not ECMA-262 or
  // that PCRE2 cannot run, an unknown `$schema`; caller_too_large above a limit. Takes time linear in the schema; keeps no reference
  // to `schema` or `options`.
  static Result<Schema> compile(const json::value& schema, const CompileOptions& options = {});

  // Whether `instance` satisfies the schema. The fastest answer: reaches malloc only where a thread meets its largest instance so far.
  bool valid(const json::value& instance) const;
  // Why it does not: at most `most` reasons, in the order of the instance; empty if it does. Of alternatives (anyOf, oneOf) of which
  // none fits, the nearest one's reasons are told too.
  std::vector<Violation> check(const json::value& instance, std::size_t most = 20) const;

 private:
  explicit Schema(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<const Compiled> compiled_;
};

// Refuses an instance with one error: its first violations in words, `field` the place of the first ("input/items/3").
Result<void> require(const Schema& schema, const json::value& instance, std::string_view field);

// The draft that a name stands for ("2020-12", "2019-09", "7", "6", "4", with or without "draft" before it), or nothing.
std::optional<Draft> draft_from(std::string_view name);

}  // namespace ballast::schema
