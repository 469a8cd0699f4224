#include "server/run_jobs.hpp"

#include <algorithm>

#include "server/reply.hpp"
#include "work/job_trace.hpp"
#include "work/run_rows.hpp"
#include "work/runner.hpp"

namespace ballast::server {

Task<Result<KeptResults>> results_of(WorkDoor& door, net::Exchange& exchange, work::JobId id, std::string version, std::string from) {
  auto flow = co_await door.flows().version(exchange.loop(), door.engine().database(), std::move(version));
  if (!flow) co_return fail(std::move(flow.error()));
  if (!from.empty() && !(*flow)->at_path(from)) co_return fail(ErrorCode::caller_not_found, "the flow has no such stage", "stage");
  auto records = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::load_records(tx, id); });
  if (!records) co_return fail(std::move(records.error()));
  const bool undone = work::was_undone(*records);
  co_return KeptResults{work::results_before(**flow, std::move(*records), from), undone};
}

Result<void> bind_version(WorkDoor& door, const JsonRef& body, work::Submission& s, WallTime now) {
  const auto version = body.maybe<std::string>("version");
  if (!version) return fail(version.error());
  if (!*version) return {};
  if (s.spec.kind != work::JobKind::flow) return fail(ErrorCode::caller_invalid_request, "only runs of flows have versions", "version");
  if (**version == "current") return work::bind_flow(door.flows(), s, now);
  if (!std::ranges::all_of(**version, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }) || (*version)->size() != 64)
    return fail(ErrorCode::caller_invalid_request, "must be \"current\" or a version's digest: 64 hexadecimal digits", "version");
  s.spec.version = **version;
  return {};
}

Task<Result<void>> check_input(WorkDoor& door, net::Exchange& exchange, const work::Submission& run) {
  const auto flow = co_await door.flows().version(exchange.loop(), door.engine().database(), run.spec.version);
  if (!flow) co_return fail(flow.error());
  co_return work::check_flow_input(**flow, run.input);
}

Task<std::vector<Result<work::Accepted>>> submit_seeded(WorkDoor& door, net::Exchange& exchange, std::vector<work::Submission> jobs,
                                                        std::vector<std::vector<work::StageRecord>> journals, work::Also told) {
  for (auto& job : jobs) work::join_trace(job.spec, exchange.request().headers.get("traceparent"), all_of(exchange.request().headers, "tracestate"));   // else that of the job it comes from
  auto results = co_await door.ask(exchange, [&]() -> Task<std::vector<Result<work::Accepted>>> {
    std::vector<work::Also> seeds;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (journals[i].empty()) continue;
      jobs[i].id = door.engine().new_id();
      auto seed = work::journal_seed(jobs[i].id, journals[i]);
      if (!seed) co_return std::vector<Result<work::Accepted>>(jobs.size(), fail(seed.error()));
      seeds.push_back(std::move(*seed));
    }
    auto all = [seeds = std::move(seeds), told = std::move(told)](store::Tx& tx) -> Result<void> {
      for (const auto& seed : seeds)
        if (auto done = seed(tx); !done) return done;
      return told ? told(tx) : Result<void>{};
    };
    auto accepted = co_await door.engine().submit(std::move(jobs), std::move(all));
    co_return accepted;
  });
  co_return results;
}

}  // namespace ballast::server
