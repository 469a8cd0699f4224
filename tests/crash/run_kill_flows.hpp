// What is killed: flows whose every stage is seen from outside. Each request names its stage (the path), its run and what the stages before it were
// answered, so that the other side alone can tell what was asked twice, in which order, and of which answer it was made.
#pragma once
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "work/engine.hpp"

namespace ballast::work::kill {

using namespace std::chrono_literals;

// The moments a process dies at. Of the engine's cycle (EngineOptions::at), of a run (RunnerOptions::at), of a call (before it leaves; its answer in hand, not
// recorded), of what people, events and ends do (durable, the run not told), and what the other side sees: a request has arrived, its answer has left.
inline constexpr const char* kPoints[] = {
    "staged", "inserted", "written", "committed", "told",
    "opened", "recovered", "decided", "kept", "child_made", "child_heard", "asked", "listening", "decision_heard", "event_heard", "last_word",
    "sending", "answered", "settling", "settled", "undoing", "undone", "telling", "told_of",
    "person_decided", "event_put", "ended", "child_ended", "calling_off", "rolling_back",
    "arrived", "arrived_settlement", "arrived_undoing", "arrived_webhook", "replied"};

enum class Again : std::uint8_t { never, by_key, freely, reads };
// A stage as it is seen outside.
struct Seen {
  std::string_view flow, stage;              // whose, and its path (an item's: without its number)
  int rank = 0;                              // a run asks for none of a lower rank afterwards
  Again again = Again::by_key;
  bool undoes = false;
};
inline const std::map<std::string, Seen, std::less<>>& kinds() {
  static const std::map<std::string, Seen, std::less<>> all{
      {"look", {"chain", "a", 0, Again::reads}},      {"put", {"chain", "b", 1, Again::freely}},     {"sell", {"chain", "c", 2}},
      {"unsell", {"chain", "c", 3, Again::by_key, true}},
      {"take", {"wide", "each[].a", 0}},              {"part", {"part", "a", 0}},                    {"close", {"wide", "close", 1}},
      {"see", {"ask", "a", 0, Again::reads}},         {"pay", {"ask", "pay", 1}},                    {"shut", {"ask", "shut", 2}},
      {"room", {"trip", "a", 0}},                     {"car", {"trip", "b", 1}},                     {"seat", {"trip", "c", 2}},
      {"broke", {"trip", "d", 3}},                    {"unseat", {"trip", "c", 4, Again::never, true}},
      {"uncar", {"trip", "b", 5, Again::by_key, true}}, {"unroom", {"trip", "a", 6, Again::freely, true}},
      {"peek", {"once", "a", 0, Again::reads}},       {"once", {"once", "b", 1, Again::never}},      {"after", {"once", "c", 2}}};
  return all;
}

// What the stages have in common is written once: how each is asked again, a request that carries a key, and the run that asks.
inline std::string written_out(std::string_view flow) {
  static constexpr std::pair<std::string_view, std::string_view> kCommon[] = {
      {"@again", "{attempts: 9, backoff: 1ms, max: 2ms}"}, {"@keyed", "method: POST, idempotency: key"}, {"@run", "?run={{ .run.id }}"}};
  std::string text(flow);
  for (const auto& [mark, words] : kCommon)
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + words.size())) text.replace(at, mark.size(), words);
  return text;
}

// Alike stages have alike names, so that a process has few expressions to compile: that is most of what its short life costs.
inline constexpr std::string_view kFlows[] = {R"(
flow: chain
input: {trusted: true}
stages:
  a: {http: {url: "${SHOP}/look@run"}, retry: @again}
  b:
    http: {method: PUT, url: "${SHOP}/put@run", body: '{saw: .stages.a.output.body.nonce}'}
    retry: @again
  c:
    http: {@keyed, url: "${SHOP}/sell@run", body: '{saw: .stages.b.output.body.nonce}'}
    retry: @again
    compensate: {http: {@keyed, url: "${SHOP}/unsell@run", body: '{saw: .output.body.nonce}'}}
)",
R"(
flow: part
input: {trusted: true}
stages:
  a:
    http: {@keyed, url: "${SHOP}/part@run&of={{ .input.of }}"}
    retry: @again
)",
R"(
flow: wide
input: {trusted: true}
stages:
  each:
    map:
      over: '[1, 2]'
      limit: 2
      stages:
        a:
          http: {@keyed, url: "${SHOP}/take@run&i={{ .index }}"}
          retry: @again
  part:  {flow: {name: part, input: '{of: .run.id}'}, timeout: 10m}
  cut:   {worker: {task: cut}, timeout: 10m}
  close:
    http: {@keyed, url: "${SHOP}/close@run", body: '[.stages.each.output, .stages.part.output, .stages.cut.output]'}
    retry: @again
)",
R"(
flow: ask
input: {trusted: true}
stages:
  a:    {http: {url: "${SHOP}/see@run"}, retry: @again}
  ok:   {approve: {show: '{saw: .stages.a.output.body.nonce, tip: 0}', expires: 24h, edit: [tip]}}
  pay:
    settle: {values: .stages.ok.output.value, effect: {http: {@keyed, url: "${SHOP}/pay@run"}}}
    needs: ok
    retry: @again
  paid: {wait: {event: paid, key: .run.id, timeout: 24h}, after: [a]}
  rest: {wait: {for: 3ms}, after: [pay]}
  shut:
    http: {@keyed, url: "${SHOP}/shut@run", body: .stages.paid.output}
    after: [rest]
    retry: @again
)",
R"(
flow: trip
policy: {on_failure: compensate}
stages:
  a:
    http: {@keyed, url: "${SHOP}/room@run"}
    retry: @again
    compensate: {http: {method: DELETE, url: "${SHOP}/unroom@run"}}
  b:
    http: {@keyed, url: "${SHOP}/car@run", body: '{saw: .stages.a.output.body.nonce}'}
    retry: @again
    compensate: {http: {@keyed, url: "${SHOP}/uncar@run", body: '{saw: .output.body.nonce}'}}
  c:
    http: {@keyed, url: "${SHOP}/seat@run", body: '{saw: .stages.b.output.body.nonce}'}
    retry: @again
    compensate: {http: {method: POST, idempotency: none, url: "${SHOP}/unseat@run", body: '{saw: .output.body.nonce}'}}
  d:
    http: {@keyed, url: "${SHOP}/broke@run", body: '{saw: .stages.c.output.body.nonce}'}
    compensate: none
)",
R"(
flow: once
stages:
  a: {http: {url: "${SHOP}/peek@run"}, retry: @again}
  b: {http: {method: POST, url: "${SHOP}/once@run", body: '{saw: .stages.a.output.body.nonce}'}}
  c:
    http: {@keyed, url: "${SHOP}/after@run", body: '{saw: .stages.b.output.body.nonce}'}
    retry: @again
)"};

inline constexpr std::uint32_t kPatient = 100'000, kHasty = 3;   // attempts: each crash counts one of every run in hand
inline bool is_hasty(std::int64_t n) { return n % 23 == 0; }
inline bool is_cancelled(std::int64_t n) { return n % 11 == 0; }
inline std::string flow_of(std::int64_t n) {
  static constexpr std::array<const char*, 5> names{"chain", "wide", "ask", "trip", "once"};
  return names[static_cast<std::size_t>(n % 5)];
}
inline Submission numbered(std::int64_t n, const std::string& shop) {
  Submission s;
  s.spec.kind = JobKind::flow;
  s.spec.name = flow_of(n);
  s.spec.tenant = "t" + std::to_string(n % 3);
  s.spec.max_attempts = is_hasty(n) ? kHasty : kPatient;
  s.spec.backoff = {.first = 1ms, .factor = 1, .max = 1ms};
  if (n % 2 == 0) s.spec.webhook = shop + "/hook";
  s.input = R"({"n":)" + std::to_string(n) + "}";
  s.idempotency_key = "n" + std::to_string(n);
  return s;
}

// What the process tells those outside, through a pipe.
struct Event {
  enum Kind : std::int64_t { accepted, ended, cancelled, rolled_back, idle, wrong } kind = accepted;
  std::int64_t job = 0;
  std::int64_t n = 0;                        // accepted: its submission; ended: its state; rolled_back: the run that is undone; wrong: which rule
};

struct Plan {
  std::uint64_t seed = 0;
  std::int64_t first = 0, last = 0;          // submissions; after the last it takes on nothing new; 0: there is none
  std::string url, anchors, shop;            // the database, the folder of the audit's anchors, the world outside
  std::string point;                         // to die at, the `nth` time; empty: whenever it is killed
  std::uint64_t nth = 0;
  bool calm = false;                         // takes on nothing new from the beginning
  // It says so when all is done.
  bool ends() const { return calm || last > 0; }
};

}  // namespace ballast::work::kill
