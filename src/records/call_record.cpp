#include "records/call_record.hpp"

#include "base/json.hpp"
#include "base/money.hpp"
#include "records/codec.hpp"

namespace ballast::records {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kNumber = 10;   // the longest varint

std::int64_t nanos(WallTime t) { return t.time_since_epoch().count(); }
WallTime wall(std::int64_t n) { return WallTime(Duration(n)); }

void put(ByteWriter& w, const TokenCounts& t) {
  for (const std::uint64_t n : {t.input, t.cached, t.cache_write, t.output, t.reasoning, t.images}) w.varint(n);
}
TokenCounts tokens(ByteReader& r) {
  TokenCounts t;
  for (std::uint64_t* n : {&t.input, &t.cached, &t.cache_write, &t.output, &t.reasoning, &t.images}) *n = r.varint();
  return t;
}

void put(ByteWriter& w, std::span<const BudgetCharge> charges) {
  w.varint(charges.size());
  for (const BudgetCharge& c : charges) {
    w.text(c.window);
    w.zigzag(c.nano);
  }
}
std::vector<BudgetCharge> charges(ByteReader& r) {
  std::vector<BudgetCharge> out;
  const std::uint64_t n = r.varint();
  for (std::uint64_t i = 0; i < n && r.good(); ++i) {
    auto& c = out.emplace_back();
    c.window = r.text();
    c.nano = r.zigzag();
  }
  return out;
}

std::size_t bound(std::span<const BudgetCharge> charges) {
  std::size_t n = kNumber;
  for (const BudgetCharge& c : charges) n += c.window.size() + 2 * kNumber;
  return n;
}
std::size_t bound(const AttemptRecord& a) {
  std::size_t n = a.provider.size() + a.model.size() + a.credential.size() + a.outcome.size() + a.reconciled_by.size() + 16 + 24 * kNumber;
  for (const std::string& w : a.windows) n += w.size() + kNumber;
  return n;
}

constexpr std::uint8_t kSaved = 0x80;   // beside the cache's state: saved money follows the attempts
enum : std::uint8_t { kHedged = 1, kCut = 2, kCostShift = 2 };

void put(ByteWriter& w, const AttemptRecord& a) {
  w.id(a.id);
  w.varint(a.n);
  w.text(a.provider);
  w.text(a.model);
  w.text(a.credential);
  w.zigzag(nanos(a.started));
  w.varint(a.latency_us);
  w.varint(a.first_token_us);
  w.text(a.outcome);
  w.varint(a.http_status);
  put(w, a.usage);
  w.zigzag(a.incurred_nano);
  w.byte(static_cast<std::uint8_t>((a.hedged ? kHedged : 0) | (a.cut ? kCut : 0) | (static_cast<unsigned>(a.cost) << kCostShift)));
  if (a.cost == Cost::known) return;
  w.varint(a.windows.size());
  for (const std::string& window : a.windows) w.text(window);
  w.zigzag(a.ceiling_nano);
  w.zigzag(nanos(a.reconciled_at));
  w.text(a.reconciled_by);
}
Cost cost_of(std::uint8_t flags) { return static_cast<Cost>((flags >> kCostShift) & 3); }
AttemptRecord attempt(std::string_view bytes, bool& good) {
  ByteReader r(bytes);
  AttemptRecord a;
  a.id = r.id();
  a.n = static_cast<std::uint32_t>(r.varint());
  a.provider = r.text();
  a.model = r.text();
  a.credential = r.text();
  a.started = wall(r.zigzag());
  a.latency_us = r.varint();
  a.first_token_us = r.varint();
  a.outcome = r.text();
  a.http_status = static_cast<std::uint16_t>(r.varint());
  a.usage = tokens(r);
  a.incurred_nano = r.zigzag();
  const std::uint8_t flags = r.byte();
  a.hedged = flags & kHedged;
  a.cut = flags & kCut;
  a.cost = cost_of(flags);
  if (a.cost != Cost::known) {
    for (std::uint64_t i = 0, n = r.varint(); i < n && r.good(); ++i) a.windows.push_back(r.text());
    a.ceiling_nano = r.zigzag();
    a.reconciled_at = wall(r.zigzag());
    a.reconciled_by = r.text();
  }
  good = good && r.good();
  return a;
}

AttemptView attempt_view(std::string_view bytes, bool& good) {
  ByteReader r(bytes);
  AttemptView a;
  (void)r.id();
  (void)r.varint();  // n
  a.provider = r.view();
  a.model = r.view();
  (void)r.view();    // credential
  (void)r.varint();  // started
  a.latency_us = r.varint();
  (void)r.varint();  // first_token_us
  a.outcome = r.view();
  (void)r.varint();  // http_status
  a.usage = tokens(r);
  a.incurred_nano = r.zigzag();
  a.cost = cost_of(r.byte());
  if (a.cost != Cost::known) {
    for (std::uint64_t i = 0, n = r.varint(); i < n && r.good(); ++i) (void)r.view();   // windows
    (void)r.varint();  // ceiling
    (void)r.varint();  // reconciled_at
    (void)r.view();    // reconciled_by
  }
  good = good && r.good();
  return a;
}

Result<void> check_version(ByteReader& r) {
  const std::uint8_t version = r.byte();
  if (!r.good()) return fail(ErrorCode::internal_error, "a record is empty");
  if (version != kVersion) return fail(ErrorCode::internal_error, "a record has the unknown version " + std::to_string(version));
  return {};
}

void member(std::string& out, std::string_view name, std::string_view text) {
  out.append(",\"").append(name).append("\":");
  append_json_string(out, text);
}
void member(std::string& out, std::string_view name, std::int64_t n) { out.append(",\"").append(name).append("\":").append(std::to_string(n)); }
void member(std::string& out, std::string_view name, const TokenCounts& t) {
  out.append(",\"").append(name).append("\":{\"input\":").append(std::to_string(t.input));
  member(out, "cached", static_cast<std::int64_t>(t.cached));
  member(out, "cache_write", static_cast<std::int64_t>(t.cache_write));
  member(out, "output", static_cast<std::int64_t>(t.output));
  member(out, "reasoning", static_cast<std::int64_t>(t.reasoning));
  member(out, "images", static_cast<std::int64_t>(t.images));
  out += '}';
}

void append_attempt(std::string& out, const AttemptRecord& a) {
  out += "{\"id\":";
  append_json_string(out, to_string(a.id, "att"));
  member(out, "n", static_cast<std::int64_t>(a.n));
  member(out, "provider", a.provider);
  member(out, "model", a.model);
  member(out, "credential", a.credential);
  member(out, "started", to_rfc3339(a.started));
  member(out, "latency_us", static_cast<std::int64_t>(a.latency_us));
  member(out, "first_token_us", static_cast<std::int64_t>(a.first_token_us));
  member(out, "outcome", a.outcome);
  member(out, "http_status", static_cast<std::int64_t>(a.http_status));
  member(out, "tokens", a.usage);
  member(out, "incurred_usd", to_usd({a.incurred_nano}));
  out.append(",\"hedged\":").append(a.hedged ? "true" : "false").append(",\"cut\":").append(a.cut ? "true" : "false");
  member(out, "cost", to_string(a.cost));
  if (a.cost == Cost::reconciled) {
    member(out, "was_usd", to_usd({a.ceiling_nano}));
    member(out, "reconciled_by", a.reconciled_by);
    member(out, "reconciled_at", to_rfc3339(a.reconciled_at));
  }
  out += '}';
}

}  // namespace

TokenCounts& TokenCounts::operator+=(const TokenCounts& o) {
  input += o.input;
  cached += o.cached;
  cache_write += o.cache_write;
  output += o.output;
  reasoning += o.reasoning;
  images += o.images;
  return *this;
}

std::string_view to_string(CallStatus status) {
  switch (status) {
    case CallStatus::ok: return "ok";
    case CallStatus::failed: return "failed";
    case CallStatus::cancelled: return "cancelled";
    case CallStatus::unknown: break;
  }
  return "unknown";
}

std::string_view to_string(Cost cost) {
  return cost == Cost::known ? "known" : cost == Cost::unknown ? "unknown" : "reconciled";
}

std::string_view to_string(CacheState state) {
  constexpr std::string_view names[] = {"none", "miss", "hit", "semantic_hit", "stale", "bypass", "joined", "replay"};
  const auto i = static_cast<std::size_t>(state);
  return i < std::size(names) ? names[i] : "none";
}

bool is_hit(CacheState c) {
  return c == CacheState::hit || c == CacheState::semantic_hit || c == CacheState::stale || c == CacheState::joined || c == CacheState::replay;
}

CallRecord unknown_outcome(const CallIntent& i) {
  CallRecord r;
  r.id = i.id;
  r.key_id = i.key_id;
  r.key_name = i.key_name;
  r.team = i.team;
  r.user = i.user;
  r.feature = i.feature;
  r.route = i.route;
  r.requested_model = i.requested_model;
  r.operation = i.operation;
  r.api = i.api;
  r.arrived = i.arrived;
  r.status = CallStatus::unknown;
  r.error = std::string(to_string(ErrorCode::internal_error));
  r.http_status = 0;
  r.provider = i.provider;
  r.model = i.model;
  r.incurred_nano = r.billed_nano = i.hold_nano;
  r.decision = "[{\"step\":\"unknown\",\"why\":\"the process ended before the call's outcome was written; it is charged at its hold\"}]";
  r.trace_id = i.trace_id;
  r.charges = i.charges;
  add_lost_attempt(r);
  return r;
}

void add_lost_attempt(CallRecord& c) {
  AttemptRecord a{.id = c.id, .provider = c.provider, .model = c.model, .started = c.arrived, .outcome = "unknown", .incurred_nano = c.incurred_nano,
                  .cost = Cost::unknown};
  for (const BudgetCharge& charge : c.charges) a.windows.push_back(charge.window);
  c.attempts = {std::move(a)};
}

bool knows_more(const CallRecord& a, const CallRecord& b) {
  if (a.status == CallStatus::unknown || b.status == CallStatus::unknown) return a.status != b.status && b.status == CallStatus::unknown;
  const auto known = [](const CallRecord& c) {
    std::size_t n = 0;
    for (const AttemptRecord& at : c.attempts) n += at.cost == Cost::known ? 2 : at.cost == Cost::reconciled ? 1 : 0;
    return n;
  };
  return known(a) > known(b);
}

void encode(std::string& out, const CallRecord& c) {
  const auto texts = {std::string_view(c.key_id), std::string_view(c.key_name), std::string_view(c.team), std::string_view(c.user), std::string_view(c.feature),
                      std::string_view(c.route), std::string_view(c.requested_model), std::string_view(c.operation), std::string_view(c.api),
                      std::string_view(c.error), std::string_view(c.served_by), std::string_view(c.provider), std::string_view(c.model),
                      std::string_view(c.decision), std::string_view(c.trace_id)};
  std::size_t most = 17 + 40 * kNumber + bound(c.charges);
  for (const std::string_view t : texts) most += t.size() + kNumber;
  for (const AttemptRecord& a : c.attempts) most += bound(a) + kNumber;
  const std::size_t start = out.size();
  out.resize(start + most);
  ByteWriter w(out.data() + start);
  w.byte(kVersion);
  w.id(c.id);
  for (const std::string_view t : texts) w.text(t);
  w.zigzag(nanos(c.arrived));
  w.byte(static_cast<std::uint8_t>(c.status));
  w.byte(static_cast<std::uint8_t>(static_cast<unsigned>(c.cache) | (c.saved_nano != 0 ? kSaved : 0u)));
  w.varint(c.http_status);
  put(w, c.usage);
  w.zigzag(c.incurred_nano);
  w.zigzag(c.billed_nano);
  w.varint(c.latency_us);
  w.varint(c.first_token_us);
  put(w, c.charges);
  w.varint(c.attempts.size());
  for (const AttemptRecord& a : c.attempts) {
    // A length of fixed width, written after the attempt: newer fields may follow the known ones.
    char* length = w.at();
    w = ByteWriter(length + 3);
    put(w, a);
    const auto n = static_cast<std::size_t>(w.at() - length - 3);
    ByteWriter l(length);
    l.byte(static_cast<std::uint8_t>(n | 0x80));
    l.byte(static_cast<std::uint8_t>((n >> 7) | 0x80));
    l.byte(static_cast<std::uint8_t>((n >> 14) & 0x7f));
  }
  if (c.saved_nano != 0) w.zigzag(c.saved_nano);
  out.resize(static_cast<std::size_t>(w.at() - out.data()));
}

Result<CallRecord> decode_call(std::string_view bytes) {
  ByteReader r(bytes);
  if (auto ok = check_version(r); !ok) return std::unexpected(ok.error());
  CallRecord c;
  c.id = r.id();
  for (std::string* t : {&c.key_id, &c.key_name, &c.team, &c.user, &c.feature, &c.route, &c.requested_model, &c.operation, &c.api, &c.error,
                         &c.served_by, &c.provider, &c.model, &c.decision, &c.trace_id})
    *t = r.text();
  c.arrived = wall(r.zigzag());
  c.status = static_cast<CallStatus>(r.byte());
  const std::uint8_t cache = r.byte();
  c.cache = static_cast<CacheState>(cache & ~kSaved);
  c.http_status = static_cast<std::uint16_t>(r.varint());
  c.usage = tokens(r);
  c.incurred_nano = r.zigzag();
  c.billed_nano = r.zigzag();
  c.latency_us = r.varint();
  c.first_token_us = r.varint();
  c.charges = charges(r);
  bool good = true;
  const std::uint64_t attempts = r.varint();
  for (std::uint64_t i = 0; i < attempts && r.good() && good; ++i) c.attempts.push_back(attempt(r.view(), good));
  if (cache & kSaved) c.saved_nano = r.zigzag();
  if (!r.good() || !good) return fail(ErrorCode::internal_error, "a call's record is truncated or has an impossible length");
  return c;
}

Result<void> read_call(std::string_view bytes, CallView& v) {
  ByteReader r(bytes);
  if (auto ok = check_version(r); !ok) return ok;
  std::string_view unused;
  v.id = r.id();
  for (std::string_view* t : {&v.key_id, &unused, &v.team, &v.user, &v.feature, &v.route, &unused, &v.operation, &unused, &v.error, &unused, &v.provider,
                              &v.model, &unused, &unused})
    *t = r.view();
  (void)r.varint();  // arrived
  v.status = static_cast<CallStatus>(r.byte());
  const std::uint8_t cache = r.byte();
  v.cache = static_cast<CacheState>(cache & ~kSaved);
  v.http_status = static_cast<std::uint16_t>(r.varint());
  v.usage = tokens(r);
  v.incurred_nano = r.zigzag();
  v.billed_nano = r.zigzag();
  v.latency_us = r.varint();
  v.first_token_us = r.varint();
  v.charges.clear();
  for (std::uint64_t i = 0, n = r.varint(); i < n && r.good(); ++i) {
    const std::string_view window = r.view();
    v.charges.push_back({window, r.zigzag()});
  }
  v.attempts.clear();
  bool good = true;
  for (std::uint64_t i = 0, n = r.varint(); i < n && r.good() && good; ++i) v.attempts.push_back(attempt_view(r.view(), good));
  v.saved_nano = cache & kSaved ? r.zigzag() : 0;
  if (!r.good() || !good) return fail(ErrorCode::internal_error, "a call's record is truncated or has an impossible length");
  return {};
}

IntentView::IntentView(const CallIntent& i)
    : id(i.id), texts{i.key_id, i.key_name, i.team, i.user, i.feature, i.route, i.requested_model, i.operation, i.api, i.provider, i.model, i.trace_id},
      arrived(i.arrived), charges(i.charges), hold_nano(i.hold_nano) {}

IntentView::IntentView(const CallRecord& r, std::string_view provider, std::string_view model, std::int64_t hold)
    : id(r.id), texts{r.key_id, r.key_name, r.team, r.user, r.feature, r.route, r.requested_model, r.operation, r.api, provider, model, r.trace_id},
      arrived(r.arrived), charges(r.charges), hold_nano(hold) {}

void encode(std::string& out, const IntentView& i) {
  std::size_t most = 17 + 4 * kNumber + bound(i.charges);
  for (const std::string_view t : i.texts) most += t.size() + kNumber;
  const std::size_t start = out.size();
  out.resize(start + most);
  ByteWriter w(out.data() + start);
  w.byte(kVersion);
  w.id(i.id);
  for (const std::string_view t : i.texts) w.text(t);
  w.zigzag(nanos(i.arrived));
  w.zigzag(i.hold_nano);
  put(w, i.charges);
  out.resize(static_cast<std::size_t>(w.at() - out.data()));
}

Result<CallIntent> decode_intent(std::string_view bytes) {
  ByteReader r(bytes);
  if (auto ok = check_version(r); !ok) return std::unexpected(ok.error());
  CallIntent i;
  i.id = r.id();
  for (std::string* t : {&i.key_id, &i.key_name, &i.team, &i.user, &i.feature, &i.route, &i.requested_model, &i.operation, &i.api, &i.provider,
                         &i.model, &i.trace_id})
    *t = r.text();
  i.arrived = wall(r.zigzag());
  i.hold_nano = r.zigzag();
  i.charges = charges(r);
  if (!r.good()) return fail(ErrorCode::internal_error, "an intent's record is truncated or has an impossible length");
  return i;
}

Result<Id> decode_id(std::string_view bytes) {
  ByteReader r(bytes);
  if (auto ok = check_version(r); !ok) return std::unexpected(ok.error());
  const Id id = r.id();
  if (!r.good()) return fail(ErrorCode::internal_error, "a record is truncated");
  return id;
}

std::string to_json(const CallRecord& c) {
  std::string out = "{\"id\":";
  append_json_string(out, to_string(c.id, "call"));
  member(out, "arrived", to_rfc3339(c.arrived));
  member(out, "status", to_string(c.status));
  member(out, "error", c.error);
  member(out, "http_status", static_cast<std::int64_t>(c.http_status));
  const std::pair<std::string_view, const std::string*> texts[] = {
      {"key_id", &c.key_id}, {"key_name", &c.key_name}, {"team", &c.team}, {"user", &c.user}, {"feature", &c.feature}, {"route", &c.route},
      {"requested_model", &c.requested_model}, {"operation", &c.operation}, {"api", &c.api}, {"served_by", &c.served_by},
      {"provider", &c.provider}, {"model", &c.model}, {"trace_id", &c.trace_id}};
  for (const auto& [name, text] : texts) member(out, name, *text);
  member(out, "cache", to_string(c.cache));
  member(out, "tokens", c.usage);
  member(out, "incurred_usd", to_usd({c.incurred_nano}));
  member(out, "billed_usd", to_usd({c.billed_nano}));
  if (c.saved_nano != 0) member(out, is_hit(c.cache) ? "saved_usd" : "routing_saved_usd", to_usd({c.saved_nano}));
  member(out, "latency_us", static_cast<std::int64_t>(c.latency_us));
  member(out, "first_token_us", static_cast<std::int64_t>(c.first_token_us));
  out += ",\"attempts\":[";
  for (std::size_t i = 0; i < c.attempts.size(); ++i) {
    if (i) out += ',';
    append_attempt(out, c.attempts[i]);
  }
  out += "],\"charges\":{";
  for (std::size_t i = 0; i < c.charges.size(); ++i) {
    if (i) out += ',';
    append_json_string(out, c.charges[i].window);
    out += ':';
    append_json_string(out, to_usd({c.charges[i].nano}));
  }
  out.append("},\"decision\":").append(c.decision.empty() ? "[]" : c.decision).append("}");
  return out;
}

}  // namespace ballast::records
