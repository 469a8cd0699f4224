#include "gateway/recorder.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"
#include "gateway/collect.hpp"
#include "net/sse.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kBatch = 64, kSwept = 2'000;
constexpr auto kNap = std::chrono::milliseconds(5'000), kSweepEvery = std::chrono::milliseconds(60'000);
constexpr store::WriteOptions kGently{.priority = store::Priority::low};

std::size_t bytes_of(const Recording& r) { return sizeof r + r.request.bytes.size() + r.reply.bytes.size(); }

// The reply that a stream spelled, as far as it came.
std::optional<json::value> assembled(llm::Wire wire, std::string_view bytes) {
  net::SseParser parser(std::max<std::size_t>(bytes.size(), 1024));
  parser.push(bytes);
  llm::StreamDecoder decoder(wire);
  StreamCollector collector;
  std::vector<llm::StreamEvent> events;
  bool any = false;
  for (auto e = parser.next(); e && *e; e = parser.next()) {
    if (!(*e)->has_data || (*e)->data == "[DONE]") continue;
    events.clear();
    if (!decoder.push((*e)->event, (*e)->data, events)) continue;
    for (const auto& event : events) collector.push(event);
    any = any || !events.empty();
  }
  if (!any) return std::nullopt;
  auto reply = llm::write_reply(wire, collector.take());
  if (!reply) return std::nullopt;
  return json::value(std::move(*reply));
}

bool cut_texts(json::value& v, std::size_t most) {
  if (auto* s = v.if_string()) {
    if (s->size() <= most) return false;
    const std::size_t all = s->size();
    std::size_t at = most;
    while (at > 0 && (static_cast<unsigned char>((*s)[at]) & 0xC0) == 0x80) --at;
    s->resize(at);
    s->append(fmt::format(" [cut: {} bytes more]", all - at));
    return true;
  }
  bool cut = false;
  if (auto* a = v.if_array())
    for (auto& item : *a) cut = cut_texts(item, most) || cut;
  if (auto* o = v.if_object())
    for (auto& member : *o) cut = cut_texts(member.value(), most) || cut;
  return cut;
}

// The document in at most `most` bytes: its longest texts are cut first; one of too many small pieces becomes a note.
std::string fit(json::value& document, std::size_t most, bool& truncated) {
  std::string out = to_json(document);
  for (std::size_t texts = std::max<std::size_t>(most / 2, 64); out.size() > most && texts >= 64; texts /= 4) {
    truncated = cut_texts(document, texts) || truncated;
    out = to_json(document);
  }
  if (out.size() <= most) return out;
  truncated = true;
  return to_json(json::value(std::string_view(fmt::format("[{} bytes of JSON, more than are kept]", out.size()))));
}

struct Kept {
  std::string text;
  bool redacted = false, truncated = false;
};

json::value unread(const RecordedSide& side) {
  const std::string_view type = trim(std::string_view(side.type).substr(0, side.type.find(';')));
  return json::value(std::string_view(fmt::format("[{}, {} bytes]", type.empty() ? "unknown" : type.substr(0, 64), side.size)));
}

Kept keep(json::value document, const RecordRule& rule) {
  Kept kept;
  kept.redacted = rule.redactor->document(document);
  kept.text = fit(document, rule.max_bytes, kept.truncated);
  return kept;
}

Kept keep_side(const RecordedSide& side, const Recording& r, bool streamed) {
  if (side.size == 0) return {.text = "null"};
  if (side.size > side.bytes.size()) return {.text = to_json(unread(side)), .truncated = true};
  if (streamed) {
    auto reply = assembled(r.wire, side.bytes);
    return reply ? keep(std::move(*reply), *r.rule) : Kept{.text = to_json(unread(side)), .redacted = true};
  }
  auto document = parse_json(side.bytes);
  // What is not JSON (a form with images) cannot be redacted with certainty.
  return document ? keep(std::move(*document), *r.rule) : Kept{.text = to_json(unread(side)), .redacted = true};
}

void add_error(std::string& reply, const Recording& r) {
  auto document = parse_json(reply);
  if (!document) return;
  if (document->is_null()) *document = json::object{};
  auto* o = document->if_object();
  if (!o || o->contains("error")) return;
  (*o)["error"] = {{"code", r.error}, {"message", r.rule->redactor->text(r.error_message)}};
  reply = to_json(*document);
}

}  // namespace

bool RecordRule::chooses(Id call) const {
  if (mode == RecordMode::full) return true;
  std::uint64_t h = call.low ^ (call.high * 0x9e3779b97f4a7c15ull);
  h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9ull;
  h ^= h >> 29;
  return static_cast<double>(h >> 11) * 0x1p-53 < share;
}

records::RecordedCall finish_recording(Recording r) {
  records::RecordedCall call = std::move(r.call);
  Kept request = keep_side(r.request, r, false), reply = keep_side(r.reply, r, r.streamed);
  if (!r.error.empty()) add_error(reply.text, r);
  call.redacted = request.redacted || reply.redacted;
  call.truncated = request.truncated || reply.truncated;
  call.request = std::move(request.text);
  call.reply = std::move(reply.text);
  return call;
}

Recorder::Recorder(store::Database& database, const Clock& clock, metrics::Registry& metrics, Options options)
    : database_(database), clock_(clock),
      kept_(metrics.counters("ballast_recordings_total", "Calls whose messages were to be kept, by what became of them", {"outcome"}).with({"kept"})),
      dropped_(metrics.counters("ballast_recordings_total", "Calls whose messages were to be kept, by what became of them", {"outcome"}).with({"dropped"})),
      failed_(metrics.counters("ballast_recordings_total", "Calls whose messages were to be kept, by what became of them", {"outcome"}).with({"failed"})),
      options_(options), queue_(options.calls), retention_ns_(options.retention.count()), thread_([this] { run(); }) {}

Recorder::~Recorder() {
  over_.store(true);
  bell_.release();
  thread_.join();
}

bool Recorder::full() {
  const std::uint64_t taken = taken_.load(std::memory_order_acquire);   // before what was offered, which then is never less
  if (offered_.load(std::memory_order_relaxed) - taken < options_.calls) return false;
  dropped_.add();
  return true;
}

bool Recorder::offer(Recording&& recording) {
  const std::size_t bytes = bytes_of(recording);
  if (waiting_bytes_.fetch_add(bytes) + bytes > options_.bytes) {
    waiting_bytes_.fetch_sub(bytes);
    dropped_.add();
    return false;
  }
  offered_.fetch_add(1);
  if (!queue_.try_push(std::make_unique<Recording>(std::move(recording)))) {
    offered_.fetch_sub(1);
    waiting_bytes_.fetch_sub(bytes);
    dropped_.add();
    return false;
  }
  if (asleep_.exchange(false)) bell_.release();
  return true;
}

Task<void> Recorder::settled(Scheduler& loop, Duration patience) {
  const std::uint64_t until = offered_.load();
  const MonoTime give_up = loop.clock().mono() + patience;
  while (taken_.load() < until && loop.clock().mono() < give_up) co_await SleepUntil(loop, loop.clock().mono() + std::chrono::milliseconds(20));
}

void Recorder::run() {
  name_this_thread("recorder");
  yield_this_thread();
  std::chrono::steady_clock::time_point swept{};
  for (;;) {
    std::vector<Recording> batch;
    while (batch.size() < kBatch) {
      auto next = queue_.try_pop();
      if (!next) break;
      waiting_bytes_.fetch_sub(bytes_of(**next));
      batch.push_back(std::move(**next));
    }
    if (!batch.empty()) {
      write(std::move(batch));
      continue;
    }
    if (over_.load()) return;
    if (const auto now = std::chrono::steady_clock::now(); now - swept >= kSweepEvery) {
      sweep();
      swept = now;
    }
    asleep_.store(true);
    if (!queue_.empty()) asleep_.store(false);
    else (void)bell_.try_acquire_for(kNap);
    asleep_.store(false);
  }
}

void Recorder::write(std::vector<Recording> batch) {
  const std::size_t count = batch.size();
  std::vector<records::PackedMessages> packed;
  packed.reserve(count);
  for (auto& recording : batch) {
    auto one = records::pack_messages(finish_recording(std::move(recording)));
    if (one) packed.push_back(std::move(*one));
    else log::error("recording_not_packed", {{"why", one.error().message}});
  }
  const auto done = database_.write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto put = records::put_messages(tx, packed); !put) return std::unexpected(put.error());
    return true;
  }, kGently);
  if (!done) log::warn("recordings_not_kept", {{"calls", packed.size()}, {"why", done.error().message}});
  kept_.add(done ? packed.size() : 0);
  failed_.add(done ? count - packed.size() : count);
  taken_.fetch_add(count);
}

void Recorder::sweep() {
  const Duration keep(retention_ns_.load(std::memory_order_relaxed));
  if (keep <= Duration::zero()) return;
  for (;;) {
    const auto gone = database_.write_now([&](store::Tx& tx) { return records::delete_messages_before(tx, clock_.wall() - keep, kSwept); }, kGently);
    if (!gone) log::warn("old_recordings_not_deleted", {{"why", gone.error().message}});
    if (!gone || *gone < kSwept || !queue_.empty()) return;
  }
}

}  // namespace ballast::gateway
