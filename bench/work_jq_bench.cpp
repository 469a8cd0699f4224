// What an expression of a flow costs: a small condition and mapping over inputs of two sizes, a template, and a compile.
#include <benchmark/benchmark.h>

#include <string>

#include "work/jq.hpp"
#include "work/template.hpp"

using namespace ballast;
using namespace ballast::work;

namespace {

// Stages' outputs, about 150 bytes each.
json::value stages(int n) {
  json::object all;
  for (int i = 0; i < n; ++i)
    all["stage" + std::to_string(i)] = {{"output", {{"text", std::string(100, 'x')}, {"confidence", 0.9}, {"n", i}, {"tags", {"a", "b"}}}}};
  return json::object{{"stages", all}, {"input", {{"name", "Ada"}}}};
}

void run(benchmark::State& state, const char* text, bool truth) {
  const auto jq = *Jq::compile(text);
  const auto input = stages(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    if (truth) benchmark::DoNotOptimize(jq.truth(input));
    else benchmark::DoNotOptimize(jq.one(input));
  }
}

void condition(benchmark::State& state) { run(state, ".stages.stage1.output.confidence >= 0.85", true); }
void path(benchmark::State& state) { run(state, ".stages.stage1.output.text", false); }
void mapping(benchmark::State& state) { run(state, "{text: .stages.stage1.output.text, tags: .stages.stage0.output.tags, who: .input.name}", false); }
void whole(benchmark::State& state) { run(state, ".stages | map_values(.output.n)", false); }

void rendering(benchmark::State& state) {
  const auto prompt = *Template::compile("Hello {{ .input.name }}, {{# if .stages.stage1.output.confidence > 0.5 }}{{ .stages.stage1.output.text }}{{# end }}");
  const auto input = stages(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(prompt.render(input));
}

void compiling(benchmark::State& state) {
  int i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(Jq::compile(".a.b == " + std::to_string(i++)));
}

}  // namespace

BENCHMARK(condition)->Arg(3)->Arg(100);
BENCHMARK(path)->Arg(3)->Arg(100);
BENCHMARK(mapping)->Arg(3)->Arg(100);
BENCHMARK(whole)->Arg(3)->Arg(100);
BENCHMARK(rendering)->Arg(3);
BENCHMARK(compiling);
