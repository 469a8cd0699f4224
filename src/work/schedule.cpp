#include "work/schedule.hpp"

#include "base/log.hpp"

namespace ballast::work {

namespace {

std::int64_t time_or_zero(const std::optional<WallTime>& t) { return t ? unix_us(*t) : 0; }
std::optional<WallTime> time_from(std::int64_t us) { return us ? std::optional(from_unix_us(us)) : std::nullopt; }

std::string pack(const Schedule& s) {
  const JobSpec& spec = s.job.spec;
  return to_json(json::object{{"cron", s.cron.text()}, {"zone", s.cron.zone()}, {"enabled", s.enabled}, {"overlap", static_cast<int>(s.overlap)}, {"catch_up", static_cast<int>(s.catch_up)},
                              {"shown", s.shown}, {"kind", static_cast<int>(spec.kind)}, {"name", spec.name}, {"queue", spec.queue}, {"tenant", spec.tenant},
                              {"priority", spec.priority}, {"spec", pack_spec(spec)}, {"input", s.job.input}, {"delay_us", s.job.delay.count() / 1'000}});
}

Result<Schedule> unpack(std::string name, std::string_view packed) {
  const auto document = parse_json(packed, {.max_bytes = packed.size() + 1, .max_depth = 8});
  if (!document) return fail(document.error());
  const JsonRef at(*document);
  std::string cron, zone, shown, task, queue, tenant, spec, input;
  for (const auto& [member, into] : {std::pair("cron", &cron), {"zone", &zone}, {"shown", &shown}, {"name", &task}, {"queue", &queue}, {"tenant", &tenant}, {"spec", &spec}, {"input", &input}}) {
    auto text = at.get<std::string>(member);
    if (!text) return fail(std::move(text.error()));
    *into = std::move(*text);
  }
  std::int64_t overlap = 0, catch_up = 0, kind = 0, priority = 0, delay = 0;
  for (const auto& [member, into] : {std::pair("overlap", &overlap), {"catch_up", &catch_up}, {"kind", &kind}, {"priority", &priority}, {"delay_us", &delay}}) {
    const auto n = at.get<std::int64_t>(member);
    if (!n) return fail(n.error());
    *into = *n;
  }
  const auto enabled = at.get<bool>("enabled");
  if (!enabled) return fail(enabled.error());
  auto compiled = Cron::compile(cron, zone, "cron");
  if (!compiled) return fail(std::move(compiled.error()));
  Schedule s{.name = std::move(name), .cron = std::move(*compiled), .job = {}, .shown = std::move(shown), .enabled = *enabled, .overlap = static_cast<Overlap>(overlap),
             .catch_up = static_cast<CatchUp>(catch_up), .next = {}, .last = {}, .last_job = {}, .why = {}};
  if (auto read = unpack_spec(spec, s.job.spec); !read) return fail(std::move(read.error()));
  s.job.spec.kind = static_cast<JobKind>(kind);
  s.job.spec.name = std::move(task);
  s.job.spec.queue = std::move(queue);
  s.job.spec.tenant = std::move(tenant);
  s.job.spec.priority = static_cast<std::uint8_t>(priority);
  s.job.input = std::move(input);
  s.job.delay = std::chrono::microseconds(delay);
  return s;
}

// The last slot in [next, now]. Looks back over ever longer spans, so that a year of missed minutes costs no more than an hour of them.
WallTime last_slot(const Cron& cron, WallTime next, WallTime now) {
  using std::chrono::hours;
  for (const Duration span : {Duration(std::chrono::minutes(1)), Duration(hours(1)), Duration(hours(24)), Duration(hours(24 * 32)), Duration(hours(24 * 367))}) {
    const WallTime from = std::max(next, now - span);
    auto slot = from == next ? std::optional(next) : cron.next(from);
    if (!slot || *slot > now) continue;
    for (auto later = cron.next(*slot); later && *later <= now; later = cron.next(*slot)) slot = later;
    return *slot;
  }
  return next;
}

}  // namespace

Firing decide_firing(const Cron& cron, WallTime next, WallTime now, CatchUp catch_up) {
  if (now < next) return {.slot = {}, .next = next};
  const WallTime slot = last_slot(cron, next, now);
  Firing f{.slot = {}, .next = cron.next(now)};
  if (catch_up == CatchUp::one || now - slot <= kOnTime) f.slot = slot;
  return f;
}

Submission submission_of(const Schedule& schedule, WallTime slot) {
  Submission s = schedule.job;
  s.spec.origin = Origin::schedule;
  s.idempotency_key = fmt::format("schedule {} {}", to_hex(sha256(schedule.name)), unix_us(slot));
  if (schedule.overlap == Overlap::skip) s.unique_key = "schedule " + to_hex(sha256(schedule.name));
  return s;
}

Result<void> put_schedule(store::Tx& tx, const Schedule& s) {
  const std::string packed = pack(s);
  auto put = tx.run("INSERT INTO schedules (name, definition, next_us, last_us, last_job, why) VALUES ($1, $2, $3, 0, 0, '') ON CONFLICT (name) DO UPDATE SET "
                    "definition = excluded.definition, next_us = excluded.next_us",
                    {s.name, store::Value::bytes(packed), time_or_zero(s.next)});
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<bool> delete_schedule(store::Tx& tx, std::string_view name) {
  auto gone = tx.run("DELETE FROM schedules WHERE name = $1", {name});
  if (!gone) return std::unexpected(gone.error());
  return gone->affected() > 0;
}

Result<std::vector<Schedule>> load_schedules(store::Tx& tx) {
  auto rows = tx.run("SELECT name, definition, next_us, last_us, last_job, why FROM schedules ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  std::vector<Schedule> out;
  for (const store::Row r : *rows) {
    auto s = unpack(r.string(0), r.bytes(1));
    if (!s) {
      log::error("schedule_unreadable", {{"schedule", r.string(0)}, {"why", describe(s.error())}});
      continue;
    }
    s->next = time_from(r.integer(2));
    s->last = time_from(r.integer(3));
    s->last_job = JobId{r.integer(4)};
    s->why = r.string(5);
    out.push_back(std::move(*s));
  }
  return out;
}

Result<void> move_schedule(store::Tx& tx, std::string_view name, WallTime from, const Firing& to, JobId job, std::string_view why) {
  auto moved = to.slot ? tx.run("UPDATE schedules SET next_us = $1, last_us = $2, last_job = CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE id = $3) THEN $3 ELSE last_job END, "
                                "why = CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE id = $3) THEN '' ELSE $4 END WHERE name = $5 AND next_us = $6",
                                {time_or_zero(to.next), time_or_zero(to.slot), job.value, why, name, unix_us(from)})
                       : tx.run("UPDATE schedules SET next_us = $1 WHERE name = $2 AND next_us = $3", {time_or_zero(to.next), name, unix_us(from)});
  if (!moved) return std::unexpected(moved.error());
  if (moved->affected() != 1) return fail(ErrorCode::caller_conflict, "was changed meanwhile, or another process fired this slot", "schedule");
  return {};
}

}  // namespace ballast::work
