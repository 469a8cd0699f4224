// Our side of run: schema_judge LINES WARM_MS BATCHES. Reads one schema with its instances a line, prints for each line the verdicts
// and, for each instance, the median ns of Schema::valid and of parse_json with it. The same loop as ajv/ajv.mjs.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>

#include "base/text.hpp"
#include "schema/schema.hpp"

namespace {

using namespace ballast;
using Clock = std::chrono::steady_clock;

double ns_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
}

volatile std::uint64_t sink = 0;

// Median ns of one call, of batches of about 100 µs.
template <class Call>
double measure(double warm_ms, std::size_t batches, Call&& call) {
  std::uint64_t hits = 0, calls = 0;
  const auto begin = Clock::now();
  for (; ns_since(begin) < warm_ms * 1e6; calls += 16)
    for (int i = 0; i < 16; ++i) hits += call();
  const auto size =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(100'000 * static_cast<double>(calls) / ns_since(begin)));
  std::vector<double> samples;
  for (std::size_t b = 0; b < batches; ++b) {
    const auto from = Clock::now();
    for (std::uint64_t i = 0; i < size; ++i) hits += call();
    samples.push_back(ns_since(from) / static_cast<double>(size));
  }
  sink = sink + hits;
  std::ranges::sort(samples);
  return samples[batches / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const auto warm_ms = argc == 4 ? parse_int<std::uint32_t>(argv[2]) : std::nullopt;
  const auto batches = argc == 4 ? parse_int<std::uint32_t>(argv[3]) : std::nullopt;
  std::ifstream file(argc == 4 ? argv[1] : "");
  if (!file || !warm_ms || !batches || *batches == 0) {
    std::cerr << "usage: schema_judge LINES WARM_MS BATCHES\n";
    return 2;
  }
  for (std::string line; std::getline(file, line);) {
    const auto row = parse_json(line).value();
    json::object out;
    const auto schema = schema::Schema::compile(row.at("schema"));
    if (!schema) {
      std::cout << to_json(json::object{{"error", describe(schema.error())}}) << std::endl;
      continue;
    }
    json::array valid, ns, parsed;
    for (const auto& test : row.at("tests").as_array()) {
      const auto text = to_json(test.at("data"));
      const auto instance = parse_json(text).value();
      valid.push_back(schema->valid(instance));
      ns.push_back(measure(*warm_ms, *batches, [&] { return schema->valid(instance); }));
      parsed.push_back(measure(*warm_ms, *batches, [&] { return schema->valid(parse_json(text).value()); }));
    }
    std::cout << to_json(
                     json::object{{"valid", std::move(valid)}, {"ns", std::move(ns)}, {"parsed", std::move(parsed)}})
              << std::endl;
  }
}
