// work_load: the job benchmark's client. One loop of net's client against a server's job API, bounded in time; the first answer
// that is not what it should be ends it, because a figure with failures in it would be of something else.
//
//   bulk      `jobs` in bulks of `batch` by `connections` at once, run by the server; ends when the last job of every bulk has ended.
//             After that, off the clock, `checks` jobs spread over all of them are looked at: each must be done, and `late` says how
//             many of them ended after the clock had been stopped
//   external  the same, completed by `workers` that pull up to `most` at a time; ends with the last completion. With backlog=1 they
//             begin when everything has been accepted, so that accepting and completing have a figure each
//   rate      open loop: `rate` submissions a second for `seconds`, each answered at its job's end. A latency counts from the moment that
//             the schedule gives until that answer, so a stall is charged to all that should have been sent meanwhile. With what=external
//             one worker, on a connection of its own, pulls and completes them; `begun` is when it has a job
//   closed    `connections` that submit one and are answered at its end, over and over, for `seconds`; the first half second is not counted
//
//   work_load MODE port=PORT key=KEY [what=noop|flow|external] [jobs=N] [batch=N] [connections=N] [workers=N] [most=N] [rate=R] [seconds=S]
//             [checks=N] [backlog=0|1] [call=PATH]
// `call` is of `closed`: instead of a job, a POST of the flow's input to a peer's PATH, which answers when it has ended.
// Prints one JSON object; latencies are milliseconds. Exits 1 on a failure, 3 when the server has no job API.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.hpp"
#include "base/task_group.hpp"
#include "net/client.hpp"

using namespace ballast;
using namespace ballast::net;
using namespace std::chrono_literals;

namespace {

template <class... A>
[[noreturn]] void die(int code, const char* format, A... values) {
  std::fprintf(stderr, format, values...);
  std::fputc('\n', stderr);
  std::_Exit(code);
}

// NAME=VALUE arguments over defaults; an unknown name ends the program.
struct Options {
  std::map<std::string, std::string> values{{"port", ""}, {"key", ""}, {"what", "noop"}, {"jobs", "100000"}, {"batch", "1000"},
                                            {"connections", "4"}, {"workers", "4"}, {"most", "100"}, {"rate", "200"},
                                            {"seconds", "4"}, {"checks", "10000"}, {"backlog", "0"}, {"call", ""}};
  Options(int argc, char** argv) {
    for (int i = 2; i < argc; i++) {
      const std::string word = argv[i];
      const auto equals = word.find('=');
      const auto at = values.find(word.substr(0, equals));
      if (equals == word.npos || at == values.end()) die(2, "unknown argument %s", argv[i]);
      at->second = word.substr(equals + 1);
    }
  }
  std::size_t count(const char* name) const { return std::strtoull(values.at(name).c_str(), nullptr, 10); }
  double real(const char* name) const { return std::atof(values.at(name).c_str()); }
};

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::string text_of(const json::value& object, std::string_view member) {
  const auto* found = object.is_object() ? object.get_object().if_contains(member) : nullptr;
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

const json::array& list_of(const json::value& object, std::string_view member) {
  static const json::array none;
  const auto* found = object.is_object() ? object.get_object().if_contains(member) : nullptr;
  return found && found->is_array() ? found->get_array() : none;
}

class Load {
 public:
  Load(LoopGroup& loops, const Options& options)
      : loop_(loops.at(0)), options_(options), client_(loops, {}), authorization_("Bearer " + options.values.at("key")) {
    const auto url = parse_url("http://127.0.0.1:" + options.values.at("port"));
    if (!url) die(2, "%s", describe(url.error()).c_str());
    server_ = *url;
    const std::string payload = "\"" + std::string(200, 'x') + "\"";
    const std::string& what = options.values.at("what");
    external_ = R"({"task":"bench.noop","queue":"bench","payload":)" + payload + "}";
    submission_ = what == "flow"       ? R"({"flow":"three-steps","input":{"value":1}})"
                  : what == "external" ? external_
                                       : R"({"task":"ballast.noop","payload":)" + payload + "}";
  }

  // Each mode, on the loop; prints its figures at its end.
  Task<void> bulk() {
    const auto begin = now();
    co_await submit_all(submission_);
    const auto accepted = now();
    for (const auto& ids : accepted_) tasks_.spawn(finish(ids.back()));
    co_await tasks_.join();
    const auto took = now() - begin;
    stopped_ = to_rfc3339(loop_.clock().wall());
    const auto checked = co_await check();
    std::printf(R"({"per_second":%.1f,"accepted_per_second":%.1f,"checked":%zu,"late":%zu})" "\n", double(jobs()) / seconds(took),
                double(jobs()) / seconds(accepted - begin), checked, late_);
  }

  Task<void> external() {
    const bool backlog = options_.count("backlog") != 0;
    const auto begin = now();
    if (!backlog) start_workers();
    co_await submit_all(external_);
    const auto accepted = now();
    if (backlog) start_workers();
    co_await tasks_.join();
    std::printf(R"({"per_second":%.1f,"accepted_per_second":%.1f,)", double(jobs()) / seconds(end_ - begin),
                double(jobs()) / seconds(accepted - begin));
    if (backlog) std::printf(R"("completed_per_second":%.1f,)", double(jobs()) / seconds(end_ - accepted));
    std::printf(R"("twice":%zu})" "\n", twice_);
  }

  Task<void> closed() {
    const auto begin = now(), warm = begin + 500ms, end = begin + std::chrono::milliseconds(long(options_.real("seconds") * 1000));
    for (std::size_t i = 0; i < options_.count("connections"); i++) tasks_.spawn(again_and_again(warm, end));
    co_await tasks_.join();
    report(double(latencies_.size()) / seconds(now() - warm));
  }

  // One submission of the open loop, due at `due`, which is close. Called on the loop, which meets that moment by looking at the clock: what
  // a timer and a wake-up cost the client is not the server's time.
  void begin_one(MonoTime due) {
    while (now() < due) {}
    tasks_.spawn(one(due, due));
  }
  void begin_worker() {
    if (options_.values.at("what") == "external") worker_.spawn(worker("w"));
  }
  Task<void> rest_of_rate() {
    co_await tasks_.join();
    report(options_.real("rate"));
  }

 private:
  MonoTime now() const { return loop_.clock().mono(); }
  std::size_t jobs() const { return options_.count("jobs"); }

  // The answer's JSON. What is not a success ends the program.
  Task<json::value> call(std::string_view method, std::string target, std::string body) {
    const std::string_view pieces[1] = {body};
    ClientRequest request{.method = method, .url = &server_, .target = target};
    request.headers.add("authorization", authorization_);
    if (!body.empty()) {
      request.headers.add("content-type", "application/json");
      request.body = Pieces(pieces);
    }
    auto response = co_await client_.send(loop_, request, {.headers = 60s}, {});
    if (!response) die(1, "%s: %s", target.c_str(), describe(response.error()).c_str());
    const int status = (*response)->head().status;
    auto text = co_await (*response)->read_all(64u << 20, deadline_after(loop_, 60s));
    if (!text) die(1, "%s: %s", target.c_str(), describe(text.error()).c_str());
    if (status == 404 && method == "POST") die(3, "%s is not built yet", target.c_str());
    if (status < 200 || status > 299) die(1, "%s: %d %s", target.c_str(), status, text->substr(0, 500).c_str());
    auto value = parse_json(*text);
    if (!value) die(1, "%s: %s", target.c_str(), describe(value.error()).c_str());
    co_return std::move(*value);
  }

  Task<void> submit_all(const std::string& submission) {
    TaskGroup submitters("submitters");
    for (std::size_t i = 0; i < options_.count("connections"); i++) submitters.spawn(submitter(submission));
    co_await submitters.join();
  }

  Task<void> submitter(const std::string& submission) {
    while (sent_ < jobs()) {
      const auto n = std::min(options_.count("batch"), jobs() - sent_);
      sent_ += n;
      std::string body = R"({"jobs":[)";
      for (std::size_t i = 0; i < n; i++) (body += i ? "," : "") += submission;
      auto answer = co_await call("POST", "/api/jobs/bulk", body + "]}");
      std::vector<std::string> ids;
      for (const auto& job : list_of(answer, "jobs")) ids.push_back(text_of(job, "id"));
      if (ids.size() != n || std::ranges::count(ids, "")) die(1, "a bulk of %zu: %s", n, to_json(answer).substr(0, 500).c_str());
      accepted_.push_back(std::move(ids));
    }
  }

  // Waits for the end of a job, which must be a good one.
  Task<void> finish(std::string id) {
    auto job = co_await call("GET", "/api/jobs/" + id + "?wait=30s", "");
    if (text_of(job, "state") != "done") die(1, "%s: %s", id.c_str(), to_json(job).substr(0, 500).c_str());
    late_ += !stopped_.empty() && text_of(job, "finished") > stopped_;
  }

  Task<std::size_t> check() {
    const auto stride = std::max<std::size_t>(1, jobs() / std::max<std::size_t>(1, options_.count("checks")));
    std::size_t i = 0, checked = 0;
    for (const auto& ids : accepted_)
      for (const auto& id : ids) {
        if (i++ % stride) continue;
        checked++;
        tasks_.spawn(finish(id));
        if (tasks_.running() >= 64) co_await tasks_.join();
      }
    co_await tasks_.join();
    co_return checked;
  }

  void start_workers() {
    for (std::size_t i = 0; i < options_.count("workers"); i++) tasks_.spawn(worker("w" + std::to_string(i)));
  }

  Task<void> worker(std::string name) {
    const std::string pull = R"({"worker":")" + name + R"(","queues":["bench"],"max":)" + options_.values.at("most") +
                             R"(,"wait":"1s","lease":"30s"})";
    while (completed_.size() < jobs()) {
      auto got = co_await call("POST", "/api/workers/pull", pull);
      const auto& tasks = list_of(got, "tasks");
      if (tasks.empty()) continue;
      for (const auto& task : tasks) begun_.emplace(text_of(task, "id"), now());
      json::array done;
      for (const auto& task : tasks)
        done.push_back(json::object{{"id", task.at("id")}, {"fence", task.at("fence")}, {"output", json::object{}}});
      auto results = co_await call("POST", "/api/workers/complete", to_json(json::object{{"worker", name}, {"tasks", std::move(done)}}));
      for (const auto& result : list_of(results, "tasks"))
        if (const auto* error = result.as_object().if_contains("error"); error && !error->is_null())
          die(1, "complete: %s", to_json(result).substr(0, 500).c_str());
      for (const auto& task : tasks) twice_ += !completed_.insert(text_of(task, "id")).second;
      end_ = now();
    }
  }

  // Submits one and is answered at its end; counted from `from`.
  Task<void> one(MonoTime from, MonoTime counted_after) {
    if (const auto& peer = options_.values.at("call"); !peer.empty()) {
      co_await call("POST", peer, R"({"value":1})");
    } else {
      const auto job = co_await call("POST", "/api/jobs?wait=30s", submission_);
      if (text_of(job, "state") != "done") die(1, "%s", to_json(job).substr(0, 500).c_str());
      if (const auto at = begun_.find(text_of(job, "id")); at != begun_.end()) waits_.push_back(seconds(at->second - from) * 1000);
    }
    if (const auto t = now(); t >= counted_after) latencies_.push_back(seconds(t - from) * 1000);
  }

  Task<void> again_and_again(MonoTime warm, MonoTime end) {
    while (now() < end) co_await one(now(), warm);
  }

  void report(double per_second) {
    if (latencies_.empty()) die(1, "%s", "nothing ended in time");
    const auto at = [](std::vector<double>& list, double p) {
      std::sort(list.begin(), list.end());
      return list[std::size_t(p * double(list.size() - 1))];
    };
    std::printf(R"({"per_second":%.1f,"p50_ms":%.4f,"p90_ms":%.4f,"p99_ms":%.4f,"n":%zu)", per_second, at(latencies_, .5), at(latencies_, .9),
                at(latencies_, .99), latencies_.size());
    if (!waits_.empty()) std::printf(R"(,"begun_p50_ms":%.4f)", at(waits_, .5));
    std::printf("}\n");
  }

  Loop& loop_;
  const Options& options_;
  Client client_;
  Url server_;
  std::string authorization_, submission_, external_;
  std::string stopped_;                                // when the clock of `bulk` was, as jobs tell times
  std::size_t sent_ = 0, twice_ = 0, late_ = 0;
  std::vector<std::vector<std::string>> accepted_;     // ids, a list for each bulk
  std::unordered_set<std::string> completed_;
  std::unordered_map<std::string, MonoTime> begun_;    // jobs that a worker has been given
  std::vector<double> latencies_, waits_;
  MonoTime end_{};
  TaskGroup tasks_{"load"}, worker_{"worker"};
};

// The open loop's moments, met by a thread that sleeps until shortly before each (a loop's timers are a millisecond coarse).
void keep_schedule(Loop& loop, Load& load, double rate, double length) {
  loop.post([&load] { load.begin_worker(); });
  const MonoTime begin = loop.clock().mono() + 10ms;
  for (std::size_t i = 0; double(i) < rate * length; i++) {
    const MonoTime due = begin + std::chrono::nanoseconds(std::uint64_t(double(i) * 1e9 / rate));
    std::this_thread::sleep_until(due - 200us);
    loop.post([&load, due] { load.begin_one(due); });
  }
}

Task<void> run(Load& load, std::string mode, std::promise<void>& over) {
  if (mode == "bulk") co_await load.bulk();
  else if (mode == "external") co_await load.external();
  else if (mode == "closed") co_await load.closed();
  else if (mode == "rate") co_await load.rest_of_rate();
  else die(2, "unknown mode %s", mode.c_str());
  over.set_value();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) die(2, "usage: work_load bulk|external|rate|closed port=PORT key=KEY [%s]", "NAME=VALUE]...");
  const std::string mode = argv[1];
  const Options options(argc, argv);
  SystemClock clock;
  LoopGroup loops(1, clock);
  Load load(loops, options);
  loops.start();
  if (mode == "rate") keep_schedule(loops.at(0), load, options.real("rate"), options.real("seconds"));
  std::promise<void> over;
  TaskGroup group("main");
  loops.at(0).post([&] { group.spawn(run(load, mode, over)); });
  over.get_future().wait();
  std::fflush(stdout);
  std::_Exit(0);   // connections that are kept, and pulls that still wait, are nobody's any more
}
