// What a schema costs: to compile, and to judge a typical order of 2 KB (object, array of objects, patterns, enums, a reference, a choice).
// The yardstick beside it in the same run is reading that instance's text with Boost.JSON, which whoever judges has just done:
// `of_parse` is the ratio. Target: valid ≤ 0.5 of it.
#include <benchmark/benchmark.h>

#include <chrono>

#include "schema/schema.hpp"

namespace {

using namespace ballast;

constexpr std::string_view kSchema = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
  "required": ["id", "customer", "items", "currency"],
  "properties": {
    "id": {"type": "string", "pattern": "^ord-[0-9a-f]{8}$"}, "currency": {"enum": ["EUR", "USD", "GBP", "CHF", "JPY"]},
    "created": {"type": "string", "minLength": 10, "maxLength": 40}, "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
    "customer": {"type": "object", "required": ["name", "email"], "properties": {"name": {"type": "string", "minLength": 1}, "email": {"type": "string", "pattern": "^[^@\\s]+@[^@\\s]+$"}, "vip": {"type": "boolean"}}},
    "payment": {"oneOf": [
      {"type": "object", "required": ["kind", "iban"], "properties": {"kind": {"const": "transfer"}, "iban": {"type": "string"}}},
      {"type": "object", "required": ["kind", "last4"], "properties": {"kind": {"const": "card"}, "last4": {"type": "string", "pattern": "^\\d{4}$"}}}]},
    "items": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/$defs/item"}}},
  "$defs": {"item": {"type": "object", "required": ["sku", "quantity", "price"], "additionalProperties": false, "properties": {
    "sku": {"type": "string", "pattern": "^[A-Z]{3}-\\d+$"}, "quantity": {"type": "integer", "minimum": 1}, "price": {"type": "number", "minimum": 0, "multipleOf": 0.01},
    "title": {"type": "string", "maxLength": 200}, "state": {"enum": ["new", "packed", "sent"]}}}}})";

std::string order() {
  std::string out = R"({"id":"ord-0123abcd","currency":"EUR","created":"2026-11-21T12:00:00Z","tags":["gift","fast","web"],)"
                    R"("customer":{"name":"Ada Lovelace","email":"ada@example.com","vip":true},"payment":{"kind":"card","last4":"4242"},"items":[)";
  for (int i = 0; i < 16; ++i)
    out += (i ? "," : "") + std::string(R"({"sku":"ABC-)") + std::to_string(1000 + i) + R"(","quantity":2,"price":19.99,"title":"A thing that somebody ordered","state":"new"})";
  return out + "]}";
}

double parse_ns(const std::string& text) {
  constexpr int rounds = 2000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) benchmark::DoNotOptimize(parse_json(text));
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / rounds;
}

void compare_with_parse(benchmark::State& state, const std::string& text) {
  const double parse = parse_ns(text);
  state.counters["parse_ns"] = parse;
  state.counters["of_parse"] = benchmark::Counter(parse * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

void compile(benchmark::State& state) {
  const auto document = parse_json(kSchema).value();
  for (auto _ : state) {
    auto schema = schema::Schema::compile(document);
    if (!schema) state.SkipWithError(schema.error().message.c_str());
    benchmark::DoNotOptimize(schema);
  }
}
BENCHMARK(compile);

void valid(benchmark::State& state) {
  const auto schema = schema::Schema::compile(parse_json(kSchema).value()).value();
  const auto text = order();
  const auto instance = parse_json(text).value();
  if (!schema.valid(instance)) state.SkipWithError("the order is not valid");
  for (auto _ : state) benchmark::DoNotOptimize(schema.valid(instance));
  compare_with_parse(state, text);
}
BENCHMARK(valid);

void check_of_an_invalid_one(benchmark::State& state) {
  const auto schema = schema::Schema::compile(parse_json(kSchema).value()).value();
  const auto text = order();
  auto instance = parse_json(text).value();
  instance.at("items").at(7).at("price") = -3;
  for (auto _ : state) benchmark::DoNotOptimize(schema.check(instance));
  compare_with_parse(state, text);
}
BENCHMARK(check_of_an_invalid_one);

}  // namespace
