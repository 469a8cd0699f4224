// Laws of `decide`, over random flows and random outcomes: a run always ends; nothing that has a result runs again; the journal in any order
// is the same run; a crash after any record changes nothing in the end. A failure prints its seed.
#include <gmock/gmock.h>

#include "base/random.hpp"
#include "run_world.hpp"

namespace ballast::work {
namespace {

// ---- Random flows: stages s0 … sN that read earlier ones, written in any order

class FlowMaker {
 public:
  explicit FlowMaker(std::uint64_t seed) : random_(seed) {}

  std::string make() {
    const auto count = 2 + random_.below(7);
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < count; ++i) lines.push_back(stage(i));
    for (std::size_t i = lines.size(); i > 1; --i) std::swap(lines[i - 1], lines[random_.below(i)]);
    std::string out = fmt::format("flow: f\noutput: '.stages.s{}.{}'\npolicy: {{on_failure: {}}}\nstages:\n", count - 1, waits_.contains(fmt::format("s{}", count - 1)) ? "skipped" : "output", random_.chance(0.5) ? "compensate" : "keep");
    for (const auto& line : lines) out += line;
    return out;
  }

 private:
  std::string before(std::size_t i) { return fmt::format("s{}", random_.below(i)); }
  std::string reads(std::size_t i) {
    const auto name = i ? before(i) : std::string();
    // When a wait ended is not the same after a crash before its beginning was recorded.
    return i == 0 || random_.chance(0.2) || waits_.contains(name) ? std::string(".input.a") : fmt::format(".stages.{}.output", name);
  }
  std::string order(std::size_t i) {
    if (i == 0 || !random_.chance(0.3)) return {};
    return fmt::format(", {}: {}", random_.chance(0.5) ? "after" : "needs", before(i));
  }
  std::string fallback(std::size_t i) { return random_.chance(0.3) ? fmt::format(", fallback: {{output: '\"spare\"'}}{}", i % 2 ? "" : ", confidence: {value: '.output | if . == null then null else 0.5 end', at_least: 0.4}") : std::string(); }

  std::string stage(std::size_t i) {
    const auto name = fmt::format("s{}", i);
    switch (random_.below(i > 1 ? 7 : 5)) {
      case 0: return fmt::format("  {}: {{transform: '[{}]'{}}}\n", name, reads(i), order(i));
      case 1: return fmt::format("  {}: {{approve: {{show: '{}', expires: 1h, on_expire: {}}}{}{}}}\n", name, reads(i), random_.chance(0.5) ? "skip" : "fail", order(i), random_.chance(0.5) ? ", fallback: {output: '1'}" : "");
      case 2:
        return fmt::format("  {}: {{map: {{over: '[{}, 2, 3]', limit: {}, on_error: {}, stages: {{i{}: {{worker: {{task: t, input: .item}}, retry: {{attempts: 2}}{}}}}}}}{}}}\n", name, reads(i), 1 + random_.below(3),
                           random_.chance(0.5) ? "collect" : "fail", i, random_.chance(0.5) ? ", compensate: {http: {url: 'https://a.example'}}" : "", order(i));
      case 5:
        waits_.insert(name);
        return fmt::format("  {}: {{wait: {{for: {}s}}, after: {}, when: '{} != 3'}}\n", name, random_.below(100) + 1, before(i), reads(i));
      case 6: return fmt::format("  {}: {{template: 'x', when: '{} == null'{}}}\n", name, reads(i), order(i));
      default:
        return fmt::format("  {}: {{worker: {{task: t, input: '{}'}}, retry: {{attempts: {}}}{}{}{}}}\n", name, reads(i), 1 + random_.below(3), fallback(i), order(i),
                           random_.chance(0.4) ? ", compensate: {http: {url: 'https://a.example'}}" : "");
    }
  }
  SeededRandom random_;
  std::set<std::string> waits_;
};

// What the world answers: the same to the same question, whoever asks and whenever.
std::uint64_t draw(std::uint64_t seed, std::string_view path, const Digest& input, std::uint32_t attempt) {
  return fast_hash(fmt::format("{}{}{}", path, to_hex(input), attempt), seed);
}
RunWorld::Script outcomes(std::uint64_t seed) {
  return [seed](const RunStage& run) {
    const auto d = draw(seed, run.path, run.input, run.attempt) % 10;
    if (d < 2) return fails(ErrorCode::provider_overloaded, true);
    if (d < 3) return fails(ErrorCode::provider_rejected);
    if (d < 4) return StageOutcome{{}, {}, true, {}};
    return gives(json::value(static_cast<std::int64_t>(d)));
  };
}

// To the end, answering what waits; checks on the way that nothing answered is asked again.
void drive(RunWorld& w, std::uint64_t seed, const std::string& what) {
  std::set<std::pair<std::string, Digest>> answered;
  std::size_t read = 0;
  for (int i = 0; i < 2'000 && !w.ended(); ++i) {
    const auto before = w.ran.size();
    w.patient = i > 0;                          // after a crash who waits may be answered before time passes
    w.step();
    for (std::size_t n = before; n < w.ran.size(); ++n) {
      const auto path = w.ran[n].substr(0, w.ran[n].find('#'));
      EXPECT_FALSE(answered.contains({path, w.runs.at(path).input})) << what << ": " << path << " ran again";
    }
    for (; read < w.journal.size(); ++read)
      if (w.journal[read].what == StageRecord::What::done) answered.insert({w.journal[read].path, w.journal[read].input});
    if (w.ended()) break;
    for (const auto& v : w.state.stages())
      if (v.state == StageState::waiting && (v.stage->as<ApproveStage>() || v.stage->as<WorkerStage>()) && draw(seed, v.path, v.input, 77) % 3) w.answer(v.path, 5);
  }
  EXPECT_TRUE(w.ended()) << what << " does not end";
}

std::string ending(const RunWorld& w) { return w.finished ? "finished " + canonical_json(*w.finished->output) : "failed"; }
std::string standing(const RunWorld& w) {
  std::string out;
  for (const auto& v : w.state.stages())
    out += fmt::format("{} {} {} {} {}\n", v.path, to_string(v.state), v.attempts, v.value ? canonical_json(*v.value) : "", v.compensated);
  return out;
}

class DecideLaws : public testing::TestWithParam<std::uint64_t> {};

TEST_P(DecideLaws, Hold) {
  const std::uint64_t seed = GetParam();
  SeededRandom random(seed);
  for (std::uint64_t n = 0; n < 12; ++n) {
    const auto text = FlowMaker(seed * 1'000 + n).make();
    const auto what = fmt::format("seed {} flow {}:\n{}", seed, n, text);
    const auto flow = good_flow(text);
    ASSERT_TRUE(flow) << what;
    RunWorld w(flow, json::object{{"a", n % 2 ? json::value(3) : json::value(nullptr)}}, outcomes(seed));
    drive(w, seed, what);
    if (!w.ended()) return;

    // The same records in any order are the same run.
    for (int turn = 0; turn < 2; ++turn) {
      auto shuffled = w.journal;
      for (std::size_t i = shuffled.size(); i > 1; --i) std::swap(shuffled[i - 1], shuffled[random.below(i)]);
      auto again = resumed(w, shuffled, [&](const RunStage& r) {
        ADD_FAILURE() << what << ": " << r.path << " ran again";
        return gives(0);
      });
      for (const auto& r : shuffled) EXPECT_TRUE(again.state.apply(r));         // and twice is once
      again.patient = false;
      EXPECT_TRUE(again.go()) << what;
      EXPECT_EQ(ending(again), ending(w)) << what;
      EXPECT_EQ(standing(again), standing(w)) << what;
      EXPECT_EQ(again.state.cost(), w.state.cost());
    }
    // A crash after any record, one that comes when others are under way, changes nothing in the end.
    auto prefix = w.journal;
    prefix.resize(random.below(prefix.size() + 1));
    auto after = resumed(w, prefix, outcomes(seed));
    after.now = prefix.empty() ? kStart : prefix.back().at;
    drive(after, seed, what);
    EXPECT_EQ(ending(after), ending(w)) << what;
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, DecideLaws, testing::Range<std::uint64_t>(1, 61));

}  // namespace
}  // namespace ballast::work
