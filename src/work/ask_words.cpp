#include "work/ask_words.hpp"

#include "base/json.hpp"
#include "records/audit.hpp"

namespace ballast::work {

namespace {

std::int64_t us(Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }

std::unexpected<Error> unreadable(const Error& why) { return fail(ErrorCode::internal_error, "another node's words could not be read: " + describe(why)); }

Result<json::value> document_of(std::string_view text) {
  auto document = parse_json(text, {.max_bytes = text.size() + 1, .max_depth = 64});
  if (!document) return unreadable(document.error());
  if (!document->is_object()) return unreadable(Error{ErrorCode::internal_error, "must be an object"});
  return document;
}

std::string text_of(const json::value& document, std::string_view member) {
  const auto* value = document.get_object().if_contains(member);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}
std::int64_t number_of(const json::value& document, std::string_view member, std::int64_t otherwise = 0) {
  const auto found = JsonRef(document).maybe<std::int64_t>(member);
  return found && *found ? **found : otherwise;
}
bool truth_of(const json::value& document, std::string_view member) {
  const auto* value = document.get_object().if_contains(member);
  return value && value->is_bool() && value->get_bool();
}
std::vector<std::string> texts_of(const json::value& document, std::string_view member) {
  std::vector<std::string> out;
  const auto* list = document.get_object().if_contains(member);
  if (!list || !list->is_array()) return out;
  for (const auto& v : list->get_array())
    if (v.is_string()) out.emplace_back(v.get_string());
  return out;
}

json::object error_object(const Error& error) {
  json::object o{{"code", to_string(error.code)}, {"message", error.message}, {"field", error.field}, {"retryable", error.retryable}};
  if (error.retry_after) o["retry_after_ms"] = error.retry_after->count();
  return o;
}
Error error_of(const json::value& said) {
  Error error{error_code_from(text_of(said, "code")).value_or(ErrorCode::internal_error), text_of(said, "message"), text_of(said, "field"), truth_of(said, "retryable"), {}, {}, {}, {}};
  if (const auto after = number_of(said, "retry_after_ms", -1); after >= 0) error.retry_after = std::chrono::milliseconds(after);
  return error;
}

// The answer's document, unless it is a refusal.
Result<json::value> granted(std::string_view answer) {
  auto document = document_of(answer);
  if (!document) return document;
  const auto* refused = document->get_object().if_contains("error");
  if (refused && refused->is_object()) return fail(error_of(*refused));
  return document;
}

json::array asked_json(const std::vector<MoveReport::Asked>& asked) {
  json::array out;
  for (const auto& a : asked) out.emplace_back(a.path);
  return out;
}
std::vector<MoveReport::Asked> asked_of(const json::value& document, std::string_view member) {
  std::vector<MoveReport::Asked> out;
  for (auto& path : texts_of(document, member)) out.push_back({std::move(path), {}});
  return out;
}

}  // namespace

Commit commit_of(const WorkerWord& word) {
  Commit commit{.job = word.job, .fence = word.fence, .to = word.to, .output = word.output, .error = word.error, .delay = word.delay, .also = {}, .children = {}, .news = word.event.has_value()};
  if (word.event)
    commit.also = [id = word.job, event = *word.event](store::Tx& tx) mutable {
      event.at = tx.now();
      return append_events(tx, id, std::span(&event, 1));
    };
  return commit;
}

Also tell_of_cancel(std::string_view actor, std::vector<JobId> jobs, WallTime now) {
  if (actor.empty()) return {};
  return [actor = std::string(actor), jobs = std::move(jobs), now](store::Tx& tx) -> Result<void> {
    std::vector<records::AuditEntry> entries;
    std::vector<std::string> chains;
    for (const JobId id : jobs) {
      chains.push_back(to_string(id));
      entries.push_back({.actor = actor, .action = std::string(records::audit::job_cancelled), .subject = chains.back(), .arguments = {}, .outcome = {}, .at = now});
    }
    std::vector<records::AuditAppend> appends;
    for (std::size_t i = 0; i < jobs.size(); ++i) appends.push_back({chains[i], std::span(&entries[i], 1)});
    return records::append_audits(tx, appends, now);
  };
}

std::string pack_cancel(const CancelWord& word) { return to_json(json::object{{"reason", word.reason}, {"actor", word.actor}}); }

Result<CancelWord> read_cancel(std::string_view body) {
  const auto document = document_of(body);
  if (!document) return fail(document.error());
  return CancelWord{text_of(*document, "reason"), text_of(*document, "actor")};
}

void pack_commit(const WorkerWord& word, AskRow& ask) {
  json::object o{{"fence", word.fence}, {"to", static_cast<int>(word.to)}};
  if (word.error) o["error"] = error_object(*word.error);
  if (word.delay) o["delay_us"] = us(*word.delay);
  if (word.event) o["event"] = json::object{{"attempt", word.event->attempt}, {"kind", word.event->kind}};
  ask.kind = AskKind::commit;
  ask.job = word.job;
  ask.body = to_json(o);
  ask.payload = word.event ? word.event->data : word.output;
}

Result<WorkerWord> read_commit(const AskRow& ask) {
  const auto document = document_of(ask.body);
  if (!document) return fail(document.error());
  WorkerWord word{.job = ask.job, .fence = number_of(*document, "fence"), .to = static_cast<Commit::To>(number_of(*document, "to", 0xff)), .output = {}, .error = {}, .delay = {}, .event = {}};
  if (word.to > Commit::To::dead || word.to == Commit::To::waiting) return unreadable(Error{ErrorCode::internal_error, "no such word of a worker", "to"});
  const auto& members = document->get_object();
  if (const auto* error = members.if_contains("error"); error && error->is_object()) word.error = error_of(*error);
  if (const auto delay = number_of(*document, "delay_us", -1); delay >= 0) word.delay = std::chrono::microseconds(delay);
  if (const auto* event = members.if_contains("event"); event && event->is_object())
    word.event = JobEvent{.seq = 0, .at = {}, .attempt = static_cast<std::uint32_t>(number_of(*event, "attempt", 1)), .kind = text_of(*event, "kind"), .data = ask.payload};
  else word.output = ask.payload;
  return word;
}

std::string pack_move(const MoveWish& wish) { return to_json(json::object{{"to", wish.to}, {"call_off", wish.call_off}, {"actor", wish.actor}}); }

Result<MoveWish> read_move(const AskRow& ask) {
  const auto document = document_of(ask.body);
  if (!document) return fail(document.error());
  return MoveWish{.run = ask.job, .to = text_of(*document, "to"), .call_off = truth_of(*document, "call_off"), .actor = text_of(*document, "actor")};
}

std::string pack_signal(const Signal& signal, std::size_t most) {
  return to_json(json::object{{"name", signal.name}, {"key", signal.key}, {"key_id", signal.key_id}, {"at_us", unix_us(signal.at)}, {"most", most}});
}

Result<SignalWord> read_signal(const AskRow& ask) {
  const auto document = document_of(ask.body);
  if (!document) return fail(document.error());
  return SignalWord{.signal = {.id = ask.seq, .name = text_of(*document, "name"), .key = text_of(*document, "key"), .key_id = text_of(*document, "key_id"), .payload = {},
                               .at = from_unix_us(number_of(*document, "at_us"))},
                    .most = static_cast<std::size_t>(number_of(*document, "most"))};
}

std::string pack_beats(std::span<const Beat> beats) {
  json::array list;
  for (const Beat& b : beats) list.push_back(json::array{b.job.value, b.fence, us(b.lease)});
  return to_json(json::object{{"beats", std::move(list)}});
}

Result<std::vector<Beat>> read_beats(std::string_view body) {
  const auto document = document_of(body);
  if (!document) return fail(document.error());
  std::vector<Beat> out;
  const auto list = JsonRef(*document).find("beats");
  for (std::size_t i = 0; list && i < list->size(); ++i) {
    const JsonRef item = list->item(i);
    if (item.size() < 3) return unreadable(item.error("must be a job, its fence and its lease").error());
    const auto job = item.item(0).as<std::int64_t>(), fence = item.item(1).as<std::int64_t>(), lease = item.item(2).as<std::int64_t>();
    if (!job || !fence || !lease) return unreadable(!job ? job.error() : !fence ? fence.error() : lease.error());
    out.push_back({JobId{*job}, *fence, std::chrono::microseconds(*lease)});
  }
  return out;
}

std::string pack_refusal(const Error& error) { return to_json(json::object{{"error", error_object(error)}}); }

std::string pack_state(JobState state, bool running) { return to_json(json::object{{"state", static_cast<int>(state)}, {"running", running}}); }

Result<Settled> read_state(std::string_view answer) {
  const auto document = granted(answer);
  if (!document) return fail(document.error());
  return Settled{.state = static_cast<JobState>(number_of(*document, "state")), .running = truth_of(*document, "running"), .children = {}};
}

std::string pack_moved(const MovePlan& plan, bool moved) {
  const MoveReport& r = plan.report;
  return to_json(json::object{{"from", plan.from}, {"to", plan.to}, {"moved", moved}, {"kept", r.kept}, {"again", json::value_from(r.again)}, {"asked_again", asked_json(r.asked_again)},
                              {"called_off", asked_json(r.called_off)}, {"begins", json::value_from(r.begins)}});
}

Result<MovePlan> read_moved(std::string_view answer) {
  const auto document = granted(answer);
  if (!document) return fail(document.error());
  return MovePlan{.report = {.kept = static_cast<std::size_t>(number_of(*document, "kept")), .again = texts_of(*document, "again"), .asked_again = asked_of(*document, "asked_again"),
                             .called_off = asked_of(*document, "called_off"), .listens = {}, .begins = texts_of(*document, "begins")},
                  .from = text_of(*document, "from"), .to = text_of(*document, "to"), .run = {}, .write = {}};
}

}  // namespace ballast::work
