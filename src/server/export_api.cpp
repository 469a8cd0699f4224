// GET /api/calls/export: the calls of a search, as lines. GET /api/export/user: everything that is kept of one user, for who asks what that is.
// Both are streamed page by page: memory holds a page. What fails after the first page cuts the connection, so that nobody takes half for all.
#include <algorithm>

#include "base/log.hpp"
#include "gateway/recorder.hpp"
#include "records/effects.hpp"
#include "records/feedback.hpp"
#include "records/ledger.hpp"
#include "records/messages.hpp"
#include "server/approval_json.hpp"
#include "server/call_filter.hpp"
#include "server/csv.hpp"
#include "server/effect_json.hpp"
#include "server/export_kinds.hpp"
#include "server/feedback_json.hpp"
#include "server/heavy.hpp"
#include "server/job_json.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/sessions.hpp"
#include "work/approval_rows.hpp"
#include "work/erase.hpp"
#include "work/event_rows.hpp"
#include "work/job_rows.hpp"
#include "work/outbox_rows.hpp"
#include "work/run_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kCallsRead = 500, kMessagesRead = 4, kVerdictsRead = 100, kJobsRead = 20'000, kEventsRead = 200, kApprovalsRead = 100;
constexpr Duration kPatience = std::chrono::seconds(3);

// The answer, line by line. Its head goes out with the first page.
class Lines {
 public:
  Lines(net::Exchange& exchange, const Parts& parts, gateway::Scope scope, bool csv, std::span<const std::string> columns, std::string_view file)
      : exchange_(exchange), parts_(parts), scope_(scope), csv_(csv), file_(file) {
    if (csv_) append_csv_row(page_, columns);
  }
  bool csv() const { return csv_; }
  void add(std::string_view json) { page_.append(json) += '\n'; }
  void add(std::span<const std::string> fields) { append_csv_row(page_, fields); }
  // Fails for who has left, whatever there is to send, and for who may not ask this any more: an export may take an hour.
  Task<Result<void>> flush() {
    if (const auto* gone = exchange_.gone(); gone && gone->cancelled()) co_return fail(ErrorCode::caller_cancelled, "the caller has left");
    if (!may_still(exchange_, parts_, scope_)) co_return fail(ErrorCode::caller_unauthenticated, "the key or the session has ended, or may this no more");
    Result<void> sent;
    if (!exchange_.started()) {
      const net::Headers headers{{"content-type", csv_ ? "text/csv; charset=utf-8; header=present" : "application/jsonl"}, {"cache-control", "no-store"}, {"x-content-type-options", "nosniff"},
                                 {"content-disposition", fmt::format("attachment; filename=\"{}.{}\"", file_, csv_ ? "csv" : "jsonl")}};
      sent = co_await exchange_.start_stream(200, headers, page_);
    } else if (!page_.empty()) {
      sent = co_await exchange_.write(page_);
    }
    page_.clear();
    co_return sent;
  }

 private:
  net::Exchange& exchange_;
  const Parts& parts_;
  const gateway::Scope scope_;
  const bool csv_;
  const std::string_view file_;
  std::string page_;
};

Result<bool> wants_csv(const net::RequestHead& request) {
  const std::string format = query(request, "format");
  if (format.empty() || format == "jsonl") return false;
  if (format == "csv") return true;
  return fail(ErrorCode::caller_invalid_request, "must be jsonl or csv", "format");
}

// Ends the stream, or says what went wrong in the way that is left.
Task<void> end(net::Exchange& exchange, Result<void> done) {
  if (!done && done.error().code == ErrorCode::caller_cancelled) {
    exchange.abort();
  } else if (!done && exchange.started()) {
    log::error("export_broke_off", {{"why", done.error().message}});
    exchange.abort();
  } else if (!done) {
    co_await reply_problem(exchange, done.error());
  } else {
    const auto sent = co_await exchange.finish();
    (void)sent;                          // a caller that left wants nothing
  }
}

Task<Result<void>> tell(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string_view act, std::string_view what) {
  const auto entry = tell_of_act(who, act, {}, parts.clock.wall(), what);
  co_return co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return entry(tx); });
}

// ---- calls ----

const std::string kCallColumns[] = {"id", "arrived", "key_id", "key_name", "team", "user", "feature", "route", "requested_model", "operation", "api", "provider", "model",
                                    "served_by", "status", "error", "http_status", "cache", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens",
                                    "reasoning_tokens", "images", "incurred_usd", "billed_usd", "latency_ms", "first_token_ms", "attempts"};

std::vector<std::string> call_fields(const records::CallRecord& c) {
  const auto n = [](std::uint64_t v) { return std::to_string(v); };
  const auto ms = [](std::uint64_t us) { return fmt::format("{}.{:03}", us / 1000, us % 1000); };
  return {to_string(c.id, "call"), to_rfc3339(c.arrived), c.key_id, c.key_name, c.team, c.user, c.feature, c.route, c.requested_model, c.operation, c.api, c.provider, c.model,
          c.served_by, std::string(to_string(c.status)), c.error, n(c.http_status), std::string(to_string(c.cache)), n(c.usage.input), n(c.usage.cached), n(c.usage.cache_write),
          n(c.usage.output), n(c.usage.reasoning), n(c.usage.images), records::nano_to_usd(c.incurred_nano), records::nano_to_usd(c.billed_nano), ms(c.latency_us),
          ms(c.first_token_us), n(c.attempts.size())};
}

template <class Add>
Task<Result<void>> each_call_page(net::Exchange& exchange, const Parts& parts, const records::CallFilter& filter, Lines& lines, Add add) {
  std::optional<Id> before;
  for (;;) {
    auto page = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::search_calls(tx, filter, kCallsRead, before, kSearchStep); }, kPatient);
    if (!page) co_return fail(std::move(page.error()));
    for (const auto& call : page->calls) add(call);
    auto sent = co_await lines.flush();
    if (!sent) co_return sent;
    if (!page->next) co_return Result<void>{};
    before = page->next;
  }
}

Task<void> export_calls(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  const auto filter = search_filter(exchange.request(), *who);
  const auto csv = wants_csv(exchange.request());
  if (!filter || !csv) co_return co_await reply_problem(exchange, filter ? csv.error() : filter.error());
  co_await catch_up(exchange, parts);
  auto told = co_await tell(exchange, parts, *who, records::audit::calls_exported, exchange.request().query);
  if (!told) co_return co_await reply_problem(exchange, told.error());
  Lines lines(exchange, parts, gateway::Scope::usage, *csv, kCallColumns, "calls");
  auto done = co_await each_call_page(exchange, parts, *filter, lines, [&](const records::CallRecord& call) {
    if (lines.csv()) lines.add(call_fields(call));
    else lines.add(records::to_json(call));
  });
  co_await end(exchange, std::move(done));
}

// ---- a user ----

const std::string kUserColumns[] = {"kind", "id", "at", "data"};

// What is kept of a user, kind by kind. Another kind is an ExportKind and another `Task<Result<void>> NAME()`, named in `run`.
class UserExport {
 public:
  UserExport(net::Exchange& exchange, const Parts& parts, std::string user, bool csv)
      : exchange_(exchange), parts_(parts), user_(std::move(user)), lines_(exchange, parts, gateway::Scope::admin, csv, kUserColumns, "user") {}

  Task<Result<void>> run() {
    using Part = Task<Result<void>> (UserExport::*)();
    for (const Part part : {&UserExport::keys, &UserExport::calls, &UserExport::messages, &UserExport::verdicts, &UserExport::jobs}) {
      auto done = co_await (this->*part)();
      if (!done) co_return done;
    }
    co_return co_await lines_.flush();
  }

 private:
  void add(ExportKind what, std::string_view id, WallTime at, std::string_view data) {
    const std::string_view kind = kExportKinds[static_cast<std::size_t>(what)];
    if (lines_.csv()) {
      const std::string fields[] = {std::string(kind), std::string(id), to_rfc3339(at), std::string(data)};
      return lines_.add(fields);
    }
    std::string line = to_json(json::object{{"kind", kind}, {"id", id}, {"at", to_rfc3339(at)}});
    line.pop_back();
    lines_.add(line.append(",\"data\":").append(data) + "}");
  }
  void add(ExportKind kind, std::string_view id, WallTime at, const json::object& data) { add(kind, id, at, to_json(data)); }

  // Without their secrets.
  Task<Result<void>> keys() {
    for (const auto& key : parts_.gateway.world().keys.list())
      if (key->user == user_) add(ExportKind::key, key->id, key->created, json::object{{"id", key->id}, {"name", key->name}, {"team", key->team}, {"feature", key->feature}});
    co_return Result<void>{};
  }

  Task<Result<void>> calls() {
    co_return co_await each_call_page(exchange_, parts_, {.user = user_}, lines_,
                                      [&](const records::CallRecord& c) { add(ExportKind::call, to_string(c.id, "call"), c.arrived, records::to_json(c)); });
  }

  Task<Result<void>> messages() {
    std::optional<Id> after;
    for (;;) {
      auto page = co_await parts_.database.read(exchange_.loop(), [&](store::Tx& tx) { return records::list_messages_of(tx, user_, after, kMessagesRead); }, kPatient);
      if (!page) co_return fail(std::move(page.error()));
      for (const auto& m : *page) add(ExportKind::messages, to_string(m.id, "call"), m.at, "{\"request\":" + m.request + ",\"reply\":" + m.reply + "}");
      auto sent = co_await lines_.flush();
      if (!sent || page->size() < kMessagesRead) co_return sent;
      after = page->back().id;
    }
  }

  // Those that he gave, and those on what he asked.
  Task<Result<void>> verdicts() {
    std::pair<std::string, std::string> after;
    for (;;) {
      auto page = co_await parts_.database.read(exchange_.loop(), [&](store::Tx& tx) { return records::feedback_about(tx, user_, after, kVerdictsRead); }, kPatient);
      if (!page) co_return fail(std::move(page.error()));
      for (const auto& f : *page) add(ExportKind::feedback, to_string(f.id, "fb"), f.given, feedback_json(f));
      auto sent = co_await lines_.flush();
      if (!sent || page->size() < kVerdictsRead) co_return sent;
      after = {page->back().subject.name, page->back().user};
    }
  }

  Task<Result<void>> jobs() {
    work::UserJobs found;
    work::JobId at{};
    do {
      const auto next = co_await parts_.database.read(exchange_.loop(), [&](store::Tx& tx) { return work::find_user_jobs(tx, user_, at, kJobsRead, found); }, kPatient);
      if (!next) co_return fail(next.error());
      at = *next;
    } while (at);
    std::vector<work::JobId> ids(found.all.begin(), found.all.end());
    std::ranges::sort(ids, {}, &work::JobId::value);
    for (const work::JobId id : ids) {
      auto told = co_await job(id);
      if (!told) co_return told;
    }
    co_return Result<void>{};
  }

  // A job with its stages, effects, questions to people, events and its webhook.
  Task<Result<void>> job(work::JobId id) {
    struct Whole {
      std::optional<work::Job> job;
      std::vector<work::StageRecord> stages;
      std::vector<records::Effect> effects;
      std::vector<work::Approval> approvals;
      std::optional<work::OutboxEntry> webhook;
    };
    auto whole = co_await parts_.database.read(exchange_.loop(), [id](store::Tx& tx) -> Result<Whole> {
      Whole w;
      auto job = work::get_job(tx, id);
      auto stages = work::load_records(tx, id);
      auto effects = records::list_effects(tx, id.value);
      auto webhook = work::get_outbox(tx, id.value);
      if (!job) return fail(std::move(job.error()));
      if (!stages) return fail(std::move(stages.error()));
      if (!effects) return fail(std::move(effects.error()));
      if (!webhook) return fail(std::move(webhook.error()));
      auto approvals = approvals_of(tx, id);
      if (!approvals) return fail(std::move(approvals.error()));
      return Whole{std::move(*job), std::move(*stages), std::move(*effects), std::move(*approvals), std::move(*webhook)};
    }, kPatient);
    if (!whole) co_return fail(std::move(whole.error()));
    if (!whole->job) co_return Result<void>{};             // gone meanwhile
    const std::string name = to_string(id);
    add(ExportKind::job, name, whole->job->created, job_json(*whole->job, false, Detail::whole));
    for (const auto& s : whole->stages) {
      json::object o{{"job", name}, {"stage", s.path}, {"what", to_string(s.what)}, {"attempt", s.attempt}};
      if (s.value) o["value"] = *s.value;
      if (s.error) o["error"] = refusal_json(*s.error);
      add(ExportKind::stage, name, s.at, o);
    }
    for (const auto& e : whole->effects) add(ExportKind::effect, name, e.intended, effect_json(e));
    for (const auto& a : whole->approvals) add(ExportKind::approval, name, whole->job->created, approval_json(a, true));
    if (const auto& w = whole->webhook)
      add(ExportKind::webhook, name, whole->job->created, json::object{{"job", name}, {"url", w->row.url}, {"state", to_string(w->state)}, {"body", payload_json(w->row.body)}});
    auto sent = co_await lines_.flush();
    if (!sent) co_return sent;
    co_return co_await events(id, name);
  }

  static Result<std::vector<work::Approval>> approvals_of(store::Tx& tx, work::JobId id) {
    std::vector<work::Approval> out;
    work::ApprovalFilter filter{.state = std::nullopt, .job = id, .assignee = {}, .seen_by = {}, .before = {}, .limit = kApprovalsRead};
    do {
      auto page = work::list_approvals(tx, filter);
      if (!page) return fail(std::move(page.error()));
      for (const auto& brief : page->approvals) {
        auto whole = work::get_approval(tx, brief.id);
        if (!whole) return fail(std::move(whole.error()));
        if (*whole) out.push_back(std::move(**whole));
      }
      filter.before = page->next;
    } while (filter.before);
    return out;
  }

  Task<Result<void>> events(work::JobId id, std::string_view name) {
    std::int64_t after = 0;
    for (;;) {
      auto page = co_await parts_.database.read(exchange_.loop(), [&](store::Tx& tx) { return work::list_events(tx, id, after, kEventsRead); }, kPatient);
      if (!page) co_return fail(std::move(page.error()));
      for (const auto& e : *page) add(ExportKind::event, name, e.at, json::object{{"job", name}, {"seq", e.seq}, {"event", e.kind}, {"data", payload_json(e.data)}});
      auto sent = co_await lines_.flush();
      if (!sent || page->size() < kEventsRead) co_return sent;
      after = page->back().seq;
    }
  }

  net::Exchange& exchange_;
  const Parts& parts_;
  const std::string user_;
  Lines lines_;
};

Task<void> export_user(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::admin);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  std::string user = query(exchange.request(), "user");
  if (user.empty()) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "must name somebody", "user"});
  if (user.contains('\0') || !is_utf8(user)) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "is not UTF-8, or has a zero byte: nobody's name does", "user"});
  const auto csv = wants_csv(exchange.request());
  if (!csv) co_return co_await reply_problem(exchange, csv.error());
  co_await catch_up(exchange, parts);
  if (auto* recorder = parts.gateway.world().recorder) co_await recorder->settled(exchange.loop(), kPatience);
  auto told = co_await tell(exchange, parts, *who, records::audit::user_exported, {});   // without his name: what an erasure leaves must not have it
  if (!told) co_return co_await reply_problem(exchange, told.error());
  UserExport all(exchange, parts, std::move(user), *csv);
  auto done = co_await all.run();
  co_await end(exchange, std::move(done));
}

}  // namespace

Task<bool> export_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.method != "GET") co_return false;
  if (request.path == "/api/calls/export") co_await export_calls(exchange, parts);
  else if (request.path == "/api/export/user") co_await export_user(exchange, parts);
  else co_return false;
  co_return true;
}

}  // namespace ballast::server
