#include "work/live_text.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/log.hpp"
#include "work/event_rows.hpp"

namespace ballast::work {

namespace {

std::string event_of(std::uint32_t choice, std::string_view text, bool more) {
  json::object o{{"text", text}};
  if (choice) o["choice"] = choice;
  if (more) o["more"] = true;
  return to_json(o);
}

// Was something told already of this attempt, by a lease that ended without counting it?
Result<bool> told_before(store::Tx& tx, JobId job, std::uint32_t attempt) {
  auto rows = tx.run("SELECT 1 FROM job_events WHERE job = $1 AND attempt = $2 AND kind = 'token' LIMIT 1", {job.value, attempt});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return !rows->empty();
}

}  // namespace

LiveText::~LiveText() { assert(closed_ || (pieces_.empty() && writes_.running() == 0)); }

void LiveText::add(std::uint32_t choice, std::string_view text) {
  if (text.empty() || full_ || closed_) return;
  full_ = bytes_ + text.size() > kMostLiveBytes || events_ + pieces_.size() + 1 >= kMostLiveEvents;
  auto at = full_ ? pieces_.end() : std::ranges::find(pieces_, choice, &Piece::choice);
  if (at == pieces_.end()) at = pieces_.insert(at, {choice, {}, full_});
  if (!full_) at->text += text;
  gathered_ += text.size();
  bytes_ += text.size();
  if (!writing_) write_soon();
}

void LiveText::write_soon() {
  if (pieces_.empty() || closed_) return;
  const Duration pause = gathered_ >= kLivePiece ? Duration::zero() : kLivePause;
  if (timer_.armed() && pause > Duration::zero()) return;
  engine_.home().arm(timer_, engine_.home().clock().mono() + pause, [](void* self) {
    auto& live = *static_cast<LiveText*>(self);
    live.writing_ = true;
    live.writes_.spawn(live.write());
  }, this);
}

// May run again: the pieces belong to it.
Also LiveText::take() {
  if (pieces_.empty()) return {};
  events_ += pieces_.size();
  gathered_ = 0;
  std::vector<JobEvent> events;
  const WallTime now = engine_.home().clock().wall();
  for (const Piece& p : std::exchange(pieces_, {}))
    events.push_back({.at = now, .attempt = lease_.attempt, .kind = "token", .data = event_of(p.choice, p.text, p.more)});
  return [job = lease_.job->id, attempt = lease_.attempt, first = std::exchange(first_, false), events = std::move(events)](store::Tx& tx) -> Result<void> {
    if (!first) return append_events(tx, job, events);
    const auto before = told_before(tx, job, attempt);
    if (!before) return std::unexpected(before.error());
    if (*before) {
      const JobEvent reset{.at = events.front().at, .attempt = attempt, .kind = "reset", .data = fmt::format(R"({{"attempt":{}}})", attempt)};
      if (auto told = append_events(tx, job, {&reset, 1}); !told) return told;
    }
    return append_events(tx, job, events);
  };
}

Task<void> LiveText::write() {
  Also also = take();
  const auto written = co_await engine_.commit(Commit{.job = lease_.job->id, .fence = lease_.fence, .to = Commit::To::running, .output = {}, .error = {}, .delay = {},
                                                      .also = std::move(also), .children = {}, .news = true});
  if (!written) full_ = true;                // the lease is not ours any more: nobody is to be told by us
  if (!written) log::debug("live_text_stopped", {{"job", to_string(lease_.job->id)}, {"why", written.error().message}});
  writing_ = false;
  if (written) write_soon();                 // what came meanwhile
}

Task<Also> LiveText::close() {
  closed_ = true;
  timer_.cancel();
  co_await writes_.join();
  timer_.cancel();
  co_return take();
}

}  // namespace ballast::work
