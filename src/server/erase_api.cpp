// POST /api/erase: one user's data goes; the money it cost stays, under a pseudonym. Scope admin; told in the trail with figures, not names.
#include <algorithm>
#include <iterator>

#include "base/log.hpp"
#include "base/random.hpp"
#include "cluster/topics.hpp"
#include "gateway/cache_shared.hpp"
#include "gateway/recorder.hpp"
#include "records/erase.hpp"
#include "records/feedback.hpp"
#include "records/messages.hpp"
#include "records/shared_answers.hpp"
#include "server/heavy.hpp"
#include "server/job_json.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "watch/notice.hpp"
#include "watch/rows.hpp"
#include "watch/watcher.hpp"
#include "work/erase.hpp"
#include "work/outbox_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kRowsRead = 20'000, kJobsErased = 500, kBlocksRead = 256, kMessagesErased = 500, kRollupsErased = 256, kNoticesRead = 500, kAnswersErased = 500;
constexpr Duration kRecorderEnds = std::chrono::seconds(10);
constexpr Duration kBatchesEnd = std::chrono::seconds(10);
constexpr int kTries = 5;                                // of a block that the importer rewrites meanwhile
constexpr store::WriteOptions kGently{.priority = store::Priority::low, .limit = std::chrono::minutes(2)};

struct Wish {
  std::string user;
  bool dry_run = false, cancel = false, cancel_batches = false, with_trail = false;
};

Result<Wish> wish_from(const JsonRef& body) {
  if (auto known = only_members(body, {"user", "dry_run", "cancel", "cancel_batches", "with_trail"}); !known) return fail(std::move(known.error()));
  auto user = body.get<std::string>("user");
  if (!user) return fail(std::move(user.error()));
  if (user->empty()) return fail(ErrorCode::caller_invalid_request, "must not be empty", "user");
  Wish wish{.user = std::move(*user)};
  for (const auto& [name, into] : {std::pair("dry_run", &wish.dry_run), {"cancel", &wish.cancel}, {"cancel_batches", &wish.cancel_batches}, {"with_trail", &wish.with_trail}}) {
    const auto yes = body.maybe<bool>(name);
    if (!yes) return fail(yes.error());
    *into = yes->value_or(false);
  }
  return wish;
}

class Erasure {
 public:
  Erasure(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, Wish wish)
      : exchange_(exchange), parts_(parts), door_(*parts.work), who_(who), wish_(std::move(wish)),
        pseudonym_(fmt::format("erased-{:016x}", os_seed())), keys_{.user = wish_.user, .configured = {}} {
    for (const auto& key : parts.gateway.world().keys.list())
      if (key->configured && key->user == wish_.user) keys_.configured.push_back(key->id);
  }

  Task<Result<json::object>> run() {
    if (auto over = co_await end_batches(); !over) co_return std::unexpected(std::move(over.error()));
    if (auto looked = co_await look(); !looked) co_return std::unexpected(std::move(looked.error()));
    if (wish_.dry_run) co_return figures();
    const std::size_t live = jobs_.live.size() + schedules_.size();
    if (live > 0 && !wish_.cancel)
      co_return fail(ErrorCode::caller_conflict, fmt::format("{} jobs of the user are not over, and {} schedules make more: `cancel` ends them first", jobs_.live.size(), schedules_.size()), "cancel");
    if (auto ended = co_await end_live(); !ended) co_return std::unexpected(std::move(ended.error()));
    if (auto gone = co_await erase_jobs(jobs_.ended); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_jobs(jobs_.live); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_calls(); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_messages(); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_answers(); !gone) co_return std::unexpected(std::move(gone.error()));
    // What those that were cancelled under way have said since.
    if (auto gone = co_await erase_jobs(jobs_.live); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_alerts(); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto gone = co_await erase_notices(); !gone) co_return std::unexpected(std::move(gone.error()));
    if (auto told = co_await tell(); !told) co_return std::unexpected(std::move(told.error()));
    co_return figures();
  }

 private:
  store::Database& db() const { return parts_.database; }

  // Batches make files and jobs of their own until they are over, so they come first.
  Task<Result<void>> end_batches() {
    auto live = co_await live_batches();
    if (!live) co_return std::unexpected(live.error());
    live_batches_ = live->size();
    if (wish_.dry_run || live->empty()) co_return Result<void>{};
    if (!wish_.cancel_batches)
      co_return fail(ErrorCode::caller_conflict,
                     fmt::format("{} batches of keys of the user are not over: wait for them (`ballast erase --wait 24h`), or let them be cancelled (\"cancel_batches\": true, `--cancel-batches`). "
                                 "The first is {}", live->size(), work::batch_id(live->front())), "cancel_batches");
    for (const work::JobId id : *live) {
      const auto cancelled = co_await door_.ask(exchange_, [&] { return door_.batches().cancel(id); });
      if (!cancelled && cancelled.error().code != ErrorCode::caller_conflict) co_return std::unexpected(cancelled.error());
    }
    for (const MonoTime until = parts_.clock.mono() + kBatchesEnd; !live->empty() && parts_.clock.mono() < until;) {
      co_await SleepUntil(exchange_.loop(), parts_.clock.mono() + std::chrono::milliseconds(100));
      live = co_await live_batches();
      if (!live) co_return std::unexpected(live.error());
    }
    if (live->empty()) co_return Result<void>{};
    co_return fail(ErrorCode::caller_conflict,
                   fmt::format("{} batches of keys of the user are being cancelled, and their provider has not said yet that they are: ask again when they are over, or wait (`ballast erase --wait 1h`). "
                               "The first is {}", live->size(), work::batch_id(live->front())), "cancel_batches");
  }

  Task<Result<std::vector<work::JobId>>> live_batches() {
    auto found = co_await db().read(exchange_.loop(), [&](store::Tx& tx) { return work::live_batches_of(tx, keys_); });
    co_return found;
  }

  Task<Result<void>> look() {
    work::JobId at{};
    do {
      const auto next = co_await db().read(exchange_.loop(), [&](store::Tx& tx) { return work::find_user_jobs(tx, wish_.user, at, kRowsRead, jobs_); }, kPatient);
      if (!next) co_return std::unexpected(next.error());
      at = *next;
    } while (at);
    schedules_ = co_await door_.ask(exchange_, [&]() -> Task<std::vector<std::string>> {
      std::vector<std::string> names;
      co_await door_.schedules().look();
      for (const auto& [name, s] : door_.schedules().all())
        if (s.job.spec.user == wish_.user) names.push_back(name);
      co_return names;
    });
    records::BlockKey after;
    do {
      auto page = co_await db().read(exchange_.loop(), [&](store::Tx& tx) { return records::blocks_of_user(tx, wish_.user, after, kBlocksRead); }, kPatient);
      if (!page) co_return std::unexpected(page.error());
      calls_ += page->calls;
      std::ranges::move(page->blocks, std::back_inserter(blocks_));
      after = std::move(page->next);
    } while (!after.last.empty());
    co_await recorded();
    const auto messages = co_await db().read(exchange_.loop(), [&](store::Tx& tx) { return records::count_messages_of(tx, wish_.user); }, kPatient);
    if (!messages) co_return std::unexpected(messages.error());
    messages_ = *messages;
    co_return Result<void>{};
  }

  // What the recorder has in hand comes to the database first, or it would come after the erasure.
  Task<void> recorded() {
    if (auto* recorder = parts_.gateway.world().recorder) co_await recorder->settled(exchange_.loop(), kRecorderEnds);
  }

  Task<Result<void>> erase_messages() {
    co_await recorded();
    messages_ = 0;
    for (std::uint64_t gone = kMessagesErased; gone == kMessagesErased;) {
      const auto done = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<std::uint64_t> {
        if (auto on = records::overwrite_deleted(tx, true); !on) return std::unexpected(on.error());
        auto erased = records::delete_messages_of(tx, wish_.user, kMessagesErased);
        if (auto off = records::overwrite_deleted(tx, false); erased && !off) return std::unexpected(off.error());
        return erased;
      }, kGently);
      if (!done) co_return std::unexpected(done.error());
      messages_ += gone = *done;
    }
    co_return Result<void>{};
  }

  // The caches in memory go whole, here and on the other nodes; of what they share, the answers to his calls.
  Task<Result<void>> erase_answers() {
    const auto& world = parts_.gateway.world();
    world.cache.clear();
    if (!world.shared_cache) co_return Result<void>{};
    world.shared_cache->forget_queued();
    co_await world.shared_cache->written(exchange_.loop(), kRecorderEnds);
    for (std::uint64_t gone = kAnswersErased; gone == kAnswersErased;) {
      const auto done = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<std::uint64_t> {
        auto erased = records::delete_shared_answers_of(tx, wish_.user, kAnswersErased);
        if (!erased) return erased;
        if (auto told = cluster::touch(tx, cluster::Topic::erasures); !told) return std::unexpected(std::move(told.error()));
        return erased;
      }, kGently);
      if (!done) co_return std::unexpected(done.error());
      gone = *done;
    }
    co_return Result<void>{};
  }

  Task<Result<void>> end_live() {
    co_return co_await door_.ask(exchange_, [&]() -> Task<Result<void>> {
      const WallTime now = door_.engine().home().clock().wall();
      for (const auto& name : schedules_) {
        const auto gone = co_await door_.schedules().remove(name, tell_of_act(who_, records::audit::schedule_deleted, name, now));
        if (!gone) co_return std::unexpected(gone.error());
      }
      if (jobs_.live.empty()) co_return Result<void>{};
      auto results = co_await door_.jobs().cancel(jobs_.live, "the user's data is erased", "key:" + who_.key_id());
      for (const auto& r : results)
        if (!r && r.error().code != ErrorCode::caller_conflict && r.error().code != ErrorCode::caller_not_found) co_return std::unexpected(r.error());
      co_return Result<void>{};
    });
  }

  Task<Result<void>> erase_jobs(const std::vector<work::JobId>& jobs) {
    for (std::size_t at = 0; at < jobs.size(); at += kJobsErased) {
      const std::span page = std::span(jobs).subspan(at, std::min(kJobsErased, jobs.size() - at));
      const auto done = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<work::ErasedJobs> {
        if (auto on = records::overwrite_deleted(tx, true); !on) return std::unexpected(on.error());
        auto erased = work::erase_jobs(tx, page, wish_.with_trail, "key:" + who_.key_id(), parts_.clock.wall());
        if (auto off = records::overwrite_deleted(tx, false); erased && !off) return std::unexpected(off.error());
        return erased;
      }, kGently);
      if (!done) co_return std::unexpected(done.error());
      erased_.rows += done->rows;
      erased_.keys += done->keys;
      erased_.webhooks += done->webhooks;
      erased_.chains += done->chains;
    }
    co_return Result<void>{};
  }

  Task<Result<void>> erase_calls() {
    std::uint64_t calls = 0;
    for (const auto& block : blocks_) {
      Result<records::ErasedCalls> done;
      for (int n = 0; n < kTries; ++n) {
        done = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<records::ErasedCalls> {
          if (auto on = records::overwrite_deleted(tx, true); !on) return std::unexpected(on.error());
          auto erased = records::erase_from_block(tx, block, wish_.user, pseudonym_);
          if (auto off = records::overwrite_deleted(tx, false); erased && !off) return std::unexpected(off.error());
          return erased;
        }, kGently);
        if (done || store::fault_of(done.error()) != store::Fault::unavailable) break;
      }
      if (!done) co_return std::unexpected(done.error());
      calls += done->calls;
      replies_ += done->replies;
      windows_ += done->windows;
    }
    calls_ = calls;
    for (std::pair<int, std::int64_t> after{0, INT64_MIN};;) {
      const auto rollups = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<records::ErasedRollups> {
        if (auto on = records::overwrite_deleted(tx, true); !on) return std::unexpected(on.error());
        auto erased = records::erase_from_rollups(tx, wish_.user, pseudonym_, after, kRollupsErased);
        if (auto off = records::overwrite_deleted(tx, false); erased && !off) return std::unexpected(off.error());
        return erased;
      }, kGently);
      if (!rollups) co_return std::unexpected(rollups.error());
      if (!rollups->next) break;
      after = *rollups->next;
    }
    const auto files = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<work::ErasedFiles> {
      if (auto on = records::overwrite_deleted(tx, true); !on) return std::unexpected(on.error());
      auto erased = work::erase_files(tx, keys_);
      if (auto off = records::overwrite_deleted(tx, false); erased && !off) return std::unexpected(off.error());
      return erased;
    }, kGently);
    if (!files) co_return std::unexpected(files.error());
    files_ = *files;
    const auto keys = co_await db().write(exchange_.loop(), [&](store::Tx& tx) { return records::erase_from_keys(tx, wish_.user, pseudonym_, active_keys_); }, kGently);
    if (!keys) co_return std::unexpected(keys.error());
    const auto verdicts = co_await db().write(exchange_.loop(), [&](store::Tx& tx) { return records::erase_feedback(tx, wish_.user, pseudonym_); }, kGently);
    if (!verdicts) co_return std::unexpected(verdicts.error());
    feedback_ = *verdicts;
    co_return Result<void>{};
  }

  // Last, for calls of his that are under his name no more make none. The watcher begins anew with what is left.
  Task<Result<void>> erase_alerts() {
    if (!parts_.watcher) co_return Result<void>{};
    const auto gone = co_await db().write(exchange_.loop(), [&](store::Tx& tx) { return watch::erase_alerts_of(tx, wish_.user); }, kGently);
    if (!gone) co_return std::unexpected(gone.error());
    if (*gone > 0) parts_.watcher->use(parts_.watcher->options());
    co_return Result<void>{};
  }

  // What receivers were told, or are about to be: the alerts stay, under the pseudonym.
  Task<Result<void>> erase_notices() {
    for (std::int64_t after = 0;;) {
      auto page = co_await db().read(exchange_.loop(), [&](store::Tx& tx) { return work::alert_bodies(tx, after, kNoticesRead); }, kPatient);
      if (!page) co_return std::unexpected(page.error());
      const bool last = page->size() < kNoticesRead;
      if (!page->empty()) after = page->back().id;
      std::vector<work::OutboxBody> changed;
      for (auto& row : *page)
        if (auto body = watch::without_user(row.body, wish_.user, pseudonym_)) changed.push_back({row.id, std::move(*body)});
      if (!changed.empty()) {
        const auto done = co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<void> {
          if (auto on = records::overwrite_deleted(tx, true); !on) return on;
          auto replaced = work::replace_bodies(tx, changed);
          if (auto off = records::overwrite_deleted(tx, false); replaced && !off) return off;
          return replaced;
        }, kGently);
        if (!done) co_return std::unexpected(done.error());
        notices_ += changed.size();
      }
      if (last) co_return Result<void>{};
    }
  }

  json::object figures() const {
    json::object o{{"jobs", jobs_.all.size()}, {"live", jobs_.live.size()}, {"schedules", schedules_.size()}, {"calls", calls_}, {"messages", messages_}};
    if (wish_.dry_run) {
      o["batches"] = live_batches_;
      o["dry_run"] = true;
      return o;
    }
    o["rows"] = erased_.rows;
    o["job_keys"] = erased_.keys;
    o["webhooks"] = erased_.webhooks;
    o["notices"] = notices_;
    o["files"] = files_.files;
    o["batches"] = files_.batches;
    o["replies"] = replies_;
    o["budget_windows"] = windows_;
    o["feedback"] = feedback_;
    o["chains_retired"] = erased_.chains;
    o["active_keys"] = active_keys_;
    o["pseudonym"] = pseudonym_;
    return o;
  }

  Task<Result<void>> tell() {
    const WallTime now = parts_.clock.wall();
    const records::AuditEntry entry{.actor = "key:" + who_.key_id(), .action = std::string(records::audit::user_erased), .subject = pseudonym_, .arguments = {}, .outcome = to_json(figures()), .at = now};
    co_return co_await db().write(exchange_.loop(), [&](store::Tx& tx) -> Result<void> {
      auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), now);
      return head ? Result<void>{} : std::unexpected(head.error());
    });
  }

  net::Exchange& exchange_;
  const Parts& parts_;
  WorkDoor& door_;
  const gateway::Principal& who_;
  const Wish wish_;
  const std::string pseudonym_;
  work::UserKeys keys_;
  work::UserJobs jobs_;
  std::vector<std::string> schedules_;
  std::vector<records::BlockKey> blocks_;
  work::ErasedJobs erased_;
  work::ErasedFiles files_;
  std::uint64_t calls_ = 0, replies_ = 0, windows_ = 0, feedback_ = 0, active_keys_ = 0, live_batches_ = 0, messages_ = 0, notices_ = 0;
};

}  // namespace

Task<bool> erase_api(net::Exchange& exchange, const Parts& parts) {
  if (exchange.request().path != "/api/erase" || exchange.request().method != "POST") co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::admin);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  const auto document = parse_json(exchange.body(), {.max_bytes = 4096, .max_depth = 4});
  auto wish = document ? wish_from(JsonRef(*document)) : Result<Wish>(std::unexpected(document.error()));
  if (!wish) {
    co_await reply_problem(exchange, wish.error());
    co_return true;
  }
  co_await catch_up(exchange, parts);
  Erasure erasure(exchange, parts, *who, std::move(*wish));
  auto done = co_await erasure.run();
  if (!done) {
    co_await reply_problem(exchange, done.error());
    co_return true;
  }
  log::info("user_erased", {{"by", who->key_id()}, {"what", to_json(*done)}});
  co_await reply_json(exchange, 200, std::move(*done));
  co_return true;
}

}  // namespace ballast::server
