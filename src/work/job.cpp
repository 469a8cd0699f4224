#include "work/job.hpp"

#include <algorithm>
#include <cmath>

namespace ballast::work {

namespace {

constexpr std::int64_t kEpochMs = 1'767'225'600'000;     // 2026-01-01T00:00:00Z
constexpr int kSequenceBits = 12, kNodeBits = 10;
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::string_view kPrefix = "job_";
constexpr std::size_t kDigits = 13;                      // 65 bits hold 63

std::int64_t since_epoch_ms(WallTime at) {
  return std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count() - kEpochMs);
}

int digit_of(char c) {
  if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const auto at = kAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

constexpr std::string_view kKinds[] = {"task", "call", "flow"};
constexpr std::string_view kStates[] = {"queued", "waiting", "done", "dead", "cancelled"};
constexpr std::string_view kOrigins[] = {"submitted", "redrive", "fork", "child", "schedule", "rollback", "batch"};

template <class E, std::size_t n>
std::optional<E> named(const std::string_view (&names)[n], std::string_view name) {
  for (std::size_t i = 0; i < n; ++i)
    if (names[i] == name) return static_cast<E>(i);
  return std::nullopt;
}

std::int64_t micros(Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }

}  // namespace

std::int64_t JobId::unix_ms() const { return (value >> (kSequenceBits + kNodeBits)) + kEpochMs; }

std::string to_string(JobId id) {
  std::string text(kPrefix);
  const auto v = static_cast<std::uint64_t>(id.value);
  for (int shift = 60; shift >= 0; shift -= 5) text += kAlphabet[(v >> shift) & 31];
  return text;
}

std::optional<JobId> parse_job_id(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + kDigits) return std::nullopt;
  std::uint64_t v = 0;
  for (const char c : text.substr(kPrefix.size())) {
    const int digit = digit_of(c);
    if (digit < 0 || v >> 59 != 0) return std::nullopt;
    v = (v << 5) | static_cast<std::uint64_t>(digit);
  }
  if (v == 0 || v >> 63 != 0) return std::nullopt;
  return JobId{static_cast<std::int64_t>(v)};
}

JobId first_job_id(WallTime at) { return JobId{since_epoch_ms(at) << (kSequenceBits + kNodeBits)}; }

JobIds::JobIds(unsigned node, JobId last) : node_(std::min(node, kMaxNode)) {
  constexpr std::int64_t kHighest = (1 << kSequenceBits) - 1;
  const bool own = (last.value >> kSequenceBits & kMaxNode) == node_;
  const std::int64_t sequence = own ? last.value & kHighest : kHighest;    // how far this node came in another's millisecond, that one's id does not say
  last_ = ((last.value >> (kSequenceBits + kNodeBits)) << kSequenceBits) | sequence;
}

JobId JobIds::next(WallTime now) {
  last_ = std::max(last_ + 1, since_epoch_ms(now) << kSequenceBits);
  const std::int64_t ms = last_ >> kSequenceBits, sequence = last_ & ((1 << kSequenceBits) - 1);
  return JobId{(((ms << kNodeBits) | node_) << kSequenceBits) | sequence};
}

std::string_view to_string(JobKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view to_string(JobState state) { return kStates[static_cast<std::size_t>(state)]; }
std::string_view to_string(Origin origin) { return kOrigins[static_cast<std::size_t>(origin)]; }
std::optional<JobKind> job_kind_from(std::string_view name) { return named<JobKind>(kKinds, name); }
std::optional<JobState> job_state_from(std::string_view name) { return named<JobState>(kStates, name); }

Duration backoff_delay(const Backoff& backoff, std::uint32_t failures, double chance) {
  const double grown = static_cast<double>(backoff.first.count()) * std::pow(std::max(1.0, backoff.factor), std::max(0, static_cast<int>(failures) - 1));
  const double whole = std::min(grown, static_cast<double>(backoff.max.count()));
  return Duration(static_cast<std::int64_t>(whole * (0.5 + chance / 2)));
}

std::string pack_spec(const JobSpec& s) {
  static const JobSpec plain;
  json::object o;
  const auto text = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) o[name] = value;
  };
  if (s.max_attempts != plain.max_attempts) o["attempts"] = s.max_attempts;
  if (s.backoff != plain.backoff) o["backoff"] = json::array{micros(s.backoff.first), s.backoff.factor, micros(s.backoff.max)};
  if (s.deadline) o["deadline"] = unix_us(*s.deadline);
  if (s.timeout.count() > 0) o["timeout"] = micros(s.timeout);
  text("model", s.model);
  text("ckey", s.concurrency_key);
  if (s.concurrency) o["climit"] = s.concurrency;
  text("key", s.key_id);
  text("user", s.user);
  text("feature", s.feature);
  if (!s.tags.empty()) o["tags"] = json::value_from(s.tags);
  text("webhook", s.webhook);
  text("whsec", s.webhook_secret);
  text("version", s.version);
  if (s.retention.count() > 0) o["retention"] = micros(s.retention);
  if (s.origin != Origin::submitted) o["origin"] = static_cast<int>(s.origin);
  if (s.may_wait) o["may_wait"] = 1;
  if (s.parent) o["parent"] = s.parent.value;
  text("stage", s.parent_stage);
  text("lineage", s.lineage);
  if (s.generation != 1) o["generation"] = s.generation;
  text("trace", s.trace);
  text("tracestate", s.tracestate);
  return o.empty() ? std::string() : to_json(o);
}

namespace {

Result<void> read_spec(const JsonRef& at, JobSpec& s) {
  const auto text = [&](std::string_view name, std::string& into) {
    if (const auto v = at.find(name); v && v->is_string()) into = v->value().get_string();
  };
  const auto number = [&](std::string_view name, std::int64_t fallback) {
    const auto v = at.find(name);
    const auto n = v ? v->as<std::int64_t>() : Result<std::int64_t>(fallback);
    return n ? *n : fallback;
  };
  s.max_attempts = static_cast<std::uint32_t>(number("attempts", s.max_attempts));
  if (const auto b = at.find("backoff"); b && b->size() == 3) {
    const auto first = b->item(0).as<std::int64_t>(), most = b->item(2).as<std::int64_t>();
    const auto factor = b->item(1).as<double>();
    if (!first || !factor || !most) return b->error("must be [first, factor, max]");
    s.backoff = {std::chrono::microseconds(*first), *factor, std::chrono::microseconds(*most)};
  }
  if (at.find("deadline")) s.deadline = from_unix_us(number("deadline", 0));
  s.timeout = std::chrono::microseconds(number("timeout", 0));
  text("model", s.model);
  text("ckey", s.concurrency_key);
  s.concurrency = static_cast<std::uint32_t>(number("climit", 0));
  text("key", s.key_id);
  text("user", s.user);
  text("feature", s.feature);
  if (const auto tags = at.find("tags"))
    for (std::size_t i = 0; i < tags->size(); ++i)
      if (tags->item(i).is_string()) s.tags.emplace_back(tags->item(i).value().get_string());
  text("webhook", s.webhook);
  text("whsec", s.webhook_secret);
  text("version", s.version);
  s.retention = std::chrono::microseconds(number("retention", 0));
  s.origin = static_cast<Origin>(std::clamp<std::int64_t>(number("origin", 0), 0, static_cast<int>(Origin::batch)));
  s.may_wait = number("may_wait", 0) != 0;
  s.parent = JobId{number("parent", 0)};
  text("stage", s.parent_stage);
  text("lineage", s.lineage);
  s.generation = static_cast<std::uint32_t>(number("generation", 1));
  text("trace", s.trace);
  text("tracestate", s.tracestate);
  return {};
}

}  // namespace

Result<void> unpack_spec(std::string_view packed, JobSpec& spec) {
  if (packed.empty()) return {};
  const auto document = parse_json(packed, {.max_bytes = 1u << 20, .max_depth = 8});
  if (!document) return fail(ErrorCode::internal_error, "a stored job's settings cannot be read: " + document.error().message);
  return read_spec(JsonRef(*document), spec);
}

std::string pack_error(const Error& error) {
  json::object o{{"code", to_string(error.code)}, {"message", error.message}};
  if (!error.field.empty()) o["field"] = error.field;
  return to_json(o);
}

json::object error_json(std::string_view packed) {
  auto document = parse_json(packed);
  if (document && document->is_object()) return std::move(document->get_object());
  return {{"code", to_string(ErrorCode::internal_error)}, {"message", packed}};
}

}  // namespace ballast::work
