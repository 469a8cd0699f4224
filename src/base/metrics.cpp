#include "base/metrics.hpp"

#include <cassert>
#include <charconv>
#include <cmath>
#include <variant>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"

namespace ballast::metrics {

unsigned detail::assign_shard() {
  static constinit std::atomic<unsigned> next{0};
  return this_shard = next.fetch_add(1, std::memory_order_relaxed) % shard_count;
}

std::uint64_t Counter::value() const {
  std::uint64_t sum = 0;
  for (const auto& c : cells_) sum += c.value.load(std::memory_order_relaxed);
  return sum;
}

// ---- Histogram

Histogram::~Histogram() {
  for (auto& s : shards_) delete s.load(std::memory_order_relaxed);
  delete examples_.load(std::memory_order_relaxed);
}

void Histogram::remember(const Exemplar& e) {
  Examples* kept = examples_.load(std::memory_order_acquire);
  if (!kept) {
    auto fresh = std::make_unique<Examples>();
    if (examples_.compare_exchange_strong(kept, fresh.get(), std::memory_order_acq_rel)) kept = fresh.release();
  }
  Example& x = (*kept)[example_of(e.value)];
  auto sequence = x.sequence.load(std::memory_order_relaxed);
  if (sequence % 2 || !x.sequence.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire, std::memory_order_relaxed)) return;
  std::atomic_thread_fence(std::memory_order_release);
  x.value.store(e.value, std::memory_order_relaxed);
  x.trace_high.store(e.trace_high, std::memory_order_relaxed);
  x.trace_low.store(e.trace_low, std::memory_order_relaxed);
  x.span.store(e.span, std::memory_order_relaxed);
  x.due.store((e.at.time_since_epoch() + exemplar_age).count(), std::memory_order_relaxed);
  x.sequence.store(sequence + 2, std::memory_order_release);
}

std::vector<Exemplar> Histogram::exemplars() const {
  std::vector<Exemplar> out;
  const Examples* kept = examples_.load(std::memory_order_acquire);
  if (!kept) return out;
  constexpr int tries = 100;                             // a writer is done in some ns, unless it was put to sleep: then it is left out
  for (const Example& x : *kept)
    for (int i = 0; i < tries; ++i) {
      const auto before = x.sequence.load(std::memory_order_acquire);
      const auto due = x.due.load(std::memory_order_relaxed);
      const Exemplar e{.value = x.value.load(std::memory_order_relaxed), .trace_high = x.trace_high.load(std::memory_order_relaxed),
                       .trace_low = x.trace_low.load(std::memory_order_relaxed), .span = x.span.load(std::memory_order_relaxed),
                       .at = WallTime(Duration(due) - exemplar_age)};
      std::atomic_thread_fence(std::memory_order_acquire);
      if (before % 2 || x.sequence.load(std::memory_order_relaxed) != before) continue;
      if (due != 0) out.push_back(e);
      break;
    }
  return out;
}

Histogram::Shard* Histogram::add_shard() {
  auto fresh = std::make_unique<Shard>();
  Shard* expected = nullptr;
  // Two threads of one shard may race here; the first wins and the other's is dropped.
  if (shards_[detail::shard()].compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel)) return fresh.release();
  return expected;
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot out;
  for (const auto& shard : shards_) {
    const Shard* s = shard.load(std::memory_order_acquire);
    if (!s) continue;
    for (std::size_t i = 0; i < bucket_count; ++i) {
      const auto n = s->buckets[i].load(std::memory_order_relaxed);
      out.buckets[i] += n;
      out.count += n;
    }
    out.sum += s->sum.load(std::memory_order_relaxed);
  }
  return out;
}

std::uint64_t Histogram::Snapshot::quantile(double q) const {
  if (count == 0) return 0;
  auto rank = static_cast<std::uint64_t>(std::ceil(std::min(std::max(q, 0.0), 1.0) * static_cast<double>(count)));
  if (rank == 0) rank = 1;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += buckets[i];
    if (seen < rank) continue;
    const auto low = lower_bound_of(i);
    const auto width = i + 1 < bucket_count ? lower_bound_of(i + 1) - low : 1;
    return low + width / 2;
  }
  return lower_bound_of(bucket_count - 1);
}

// ---- Family

template <class M>
struct Family<M>::Series {
  std::uint64_t hash;
  std::vector<std::string> labels;
  M metric;
};

namespace {
constexpr std::size_t max_label_bytes = 128;
std::string_view cut(std::string_view v) { return v.size() <= max_label_bytes ? v : utf8_prefix(v, max_label_bytes); }

std::uint64_t hash_of(LabelValues values) {
  std::uint64_t h = values.size();
  for (const auto v : values) h = fast_hash(cut(v), h);
  return h;
}
bool same(const std::vector<std::string>& labels, LabelValues values) {
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != cut(values[i])) return false;
  return true;
}
}  // namespace

template <class M>
Family<M>::Family(std::size_t label_count, std::size_t max_series)
    : label_count_(label_count), max_series_(max_series), mask_(std::bit_ceil(2 * (max_series + 1)) - 1),
      table_(std::make_unique<std::atomic<Series*>[]>(mask_ + 1)) {}

template <class M>
Family<M>::~Family() = default;

// The series, or null and the free place where the probe ended. The table is never more than half full and never shrinks, so a
// probe ends and a published series stays.
template <class M>
typename Family<M>::Series* Family<M>::find(std::uint64_t hash, LabelValues values, std::size_t& at) const {
  for (at = hash & mask_;; at = (at + 1) & mask_) {
    Series* s = table_[at].load(std::memory_order_acquire);
    if (!s || (s->hash == hash && same(s->labels, values))) return s;
  }
}

template <class M>
M& Family<M>::with(LabelValues values) {
  assert(values.size() == label_count_);
  const auto h = hash_of(values);
  std::size_t at = 0;
  if (Series* s = find(h, values, at)) [[likely]] return s->metric;
  if (Series* other = other_.load(std::memory_order_acquire)) return other->metric;
  return insert(h, values)->metric;
}

template <class M>
typename Family<M>::Series* Family<M>::insert(std::uint64_t hash, LabelValues values) {
  std::lock_guard lock(growing_);
  std::size_t at = 0;
  if (Series* s = find(hash, values, at)) return s;
  const std::vector<std::string_view> others(label_count_, "other");
  const bool full = owned_.size() >= max_series_;
  if (full) {
    values = others;
    hash = hash_of(values);
    if (Series* s = find(hash, values, at)) {
      other_.store(s, std::memory_order_release);
      return s;
    }
  }
  auto& fresh = owned_.emplace_back(std::make_unique<Series>());
  for (const auto v : values) fresh->labels.emplace_back(cut(v));
  fresh->hash = hash;
  table_[at].store(fresh.get(), std::memory_order_release);
  if (full) other_.store(fresh.get(), std::memory_order_release);
  return fresh.get();
}

template <class M>
std::size_t Family<M>::series() const {
  std::lock_guard lock(growing_);
  return owned_.size();
}

template <class M>
void Family<M>::each(const std::function<void(LabelValues, const M&)>& f) const {
  std::vector<const Series*> all;
  {
    std::lock_guard lock(growing_);
    for (const auto& s : owned_) all.push_back(s.get());
  }
  std::vector<std::string_view> labels;
  for (const Series* s : all) {
    labels.assign(s->labels.begin(), s->labels.end());
    f(labels, s->metric);
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

// ---- Registry

// Every metric is a family; one without labels has a single series.
struct Registry::Entry {
  std::string name, help;
  int kind = 0;
  std::vector<std::string> labels;
  Shape shape;
  std::unique_ptr<Family<Counter>> counters;
  std::unique_ptr<Family<Gauge>> gauges;
  std::unique_ptr<Family<Histogram>> histograms;
  std::function<double()> read;
};

namespace {
enum Kind : int { counter_kind, gauge_kind, histogram_kind, read_kind };

[[maybe_unused]] bool valid_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return true;
}
}  // namespace

Registry::Registry() = default;
Registry::~Registry() = default;

Registry::Entry& Registry::entry(std::string_view name, std::string_view help, int kind, std::span<const std::string_view> labels, Shape shape) {
  assert(valid_name(name));
  assert(kind != counter_kind || name.ends_with("_total"));
  std::lock_guard lock(mutex_);
  auto at = std::lower_bound(entries_.begin(), entries_.end(), name, [](const auto& e, std::string_view n) { return e->name < n; });
  if (at != entries_.end() && (*at)->name == name) {
    assert((*at)->kind == kind && std::ranges::equal((*at)->labels, labels) && "one name, one kind, one set of labels");
    return **at;
  }
  auto e = std::make_unique<Entry>();
  e->name = name;
  e->help = help;
  e->kind = kind;
  e->labels.assign(labels.begin(), labels.end());
  e->shape = shape;
  const std::size_t most = labels.empty() ? 1 : shape.max_series;
  if (kind == counter_kind) e->counters = std::make_unique<Family<Counter>>(labels.size(), most);
  if (kind == gauge_kind) e->gauges = std::make_unique<Family<Gauge>>(labels.size(), most);
  if (kind == histogram_kind) e->histograms = std::make_unique<Family<Histogram>>(labels.size(), most);
  return **entries_.insert(at, std::move(e));
}

Counter& Registry::counter(std::string_view name, std::string_view help, Shape shape) {
  return entry(name, help, counter_kind, {}, shape).counters->with(LabelValues{});
}
Gauge& Registry::gauge(std::string_view name, std::string_view help) {
  return entry(name, help, gauge_kind, {}, {}).gauges->with(LabelValues{});
}
Histogram& Registry::histogram(std::string_view name, std::string_view help, Shape shape) {
  return entry(name, help, histogram_kind, {}, shape).histograms->with(LabelValues{});
}
Family<Counter>& Registry::counters(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape) {
  return *entry(name, help, counter_kind, {labels.begin(), labels.size()}, shape).counters;
}
Family<Gauge>& Registry::gauges(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape) {
  return *entry(name, help, gauge_kind, {labels.begin(), labels.size()}, shape).gauges;
}
Family<Histogram>& Registry::histograms(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape) {
  return *entry(name, help, histogram_kind, {labels.begin(), labels.size()}, shape).histograms;
}
void Registry::gauge_from(std::string_view name, std::string_view help, std::function<double()> read) {
  auto& e = entry(name, help, read_kind, {}, {});
  std::lock_guard lock(mutex_);
  e.read = std::move(read);
}

void Registry::each(const std::function<void(const Series&)>& visit) const {
  std::lock_guard lock(mutex_);
  for (const auto& e : entries_) {
    const auto tell = [&](LabelValues values, std::variant<std::uint64_t, double, const Histogram*> value) {
      visit({.name = e->name, .help = e->help, .labels = e->labels, .values = values, .shape = e->shape, .value = value});
    };
    if (e->counters) e->counters->each([&](LabelValues v, const Counter& c) { tell(v, c.value()); });
    if (e->gauges) e->gauges->each([&](LabelValues v, const Gauge& g) { tell(v, g.value()); });
    if (e->histograms) e->histograms->each([&](LabelValues v, const Histogram& h) { tell(v, &h); });
    if (e->read) tell({}, e->read());
  }
}

// Divides by a whole number where that is what the scale means: 131071 × 1e-9 would print as 0.00013107100000000002.
double scaled(std::uint64_t v, double scale) {
  if (scale < 1) return static_cast<double>(v) / std::round(1 / scale);
  return static_cast<double>(v) * scale;
}

// ---- Exposition

std::string_view content_type(Format format) {
  return format == Format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
}

Format format_for(std::string_view accept) {
  return to_lower_ascii(accept).find("application/openmetrics-text") != std::string::npos ? Format::openmetrics : Format::prometheus;
}

namespace {

class Writer {
 public:
  explicit Writer(Format format) : format_(format) {}
  std::string take() && {
    if (format_ == Format::openmetrics) out_ += "# EOF\n";
    return std::move(out_);
  }

  void head(std::string_view name, std::string_view help, std::string_view type) {
    if (format_ == Format::openmetrics && type == "counter") name.remove_suffix(std::string_view("_total").size());
    out_ += "# HELP ";
    out_ += name;
    out_ += ' ';
    escape(help, false);
    out_ += "\n# TYPE ";
    out_ += name;
    out_ += ' ';
    out_ += type;
    out_ += '\n';
  }

  void sample(std::string_view name, std::string_view suffix, std::span<const std::string> names, LabelValues values, double value,
              std::string_view le = {}, std::string_view example = {}) {
    out_ += name;
    out_ += suffix;
    char separator = '{';
    for (std::size_t i = 0; i < names.size(); ++i) {
      out_ += separator;
      out_ += names[i];
      out_ += "=\"";
      escape(values[i], true);
      out_ += '"';
      separator = ',';
    }
    if (!le.empty()) {
      out_ += separator;
      out_ += "le=\"";
      out_ += le;
      out_ += '"';
      separator = ',';
    }
    if (separator == ',') out_ += '}';
    out_ += ' ';
    out_ += number(value);
    out_ += example;
    out_ += '\n';
  }
  Format format() const { return format_; }

  static std::string number(double v) {
    if (std::isnan(v)) return "NaN";
    if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
    char text[32];
    return std::string(text, std::to_chars(text, text + sizeof text, v).ptr);
  }
  // OpenMetrics wants bounds to look like floats.
  static std::string bound(double v) {
    auto text = number(v);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
  }

 private:
  void escape(std::string_view text, bool quotes) {
    for (const char c : text) {
      if (c == '\\') out_ += "\\\\";
      else if (c == '\n') out_ += "\\n";
      else if (c == '"' && (quotes || format_ == Format::openmetrics)) out_ += "\\\"";
      else out_ += c;
    }
  }
  Format format_;
  std::string out_;
};

// Of a bucket's line, as OpenMetrics has it: # {trace_id="…",span_id="…"} value seconds.
std::string example_text(const Exemplar& e, double scale) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(e.at.time_since_epoch()).count();
  return " # {trace_id=\"" + trace::trace_id_hex({.trace_high = e.trace_high, .trace_low = e.trace_low}) + "\",span_id=\"" + trace::span_id_hex(e.span) +
         "\"} " + Writer::number(scaled(e.value, scale)) + ' ' + Writer::number(static_cast<double>(ms) / 1000);
}

void write_histogram(Writer& w, std::string_view name, std::span<const std::string> labels, LabelValues values, const Histogram& h, Shape shape) {
  const auto s = h.snapshot();
  const auto examples = w.format() == Format::openmetrics ? h.exemplars() : std::vector<Exemplar>();
  auto example = examples.begin();
  // The last of those below `limit` that no smaller bucket has: the dearest.
  const auto example_below = [&](std::uint64_t limit) {
    std::string text;
    for (; example != examples.end() && example->value < limit; ++example) text = example_text(*example, shape.scale);
    return text;
  };
  std::uint64_t below = 0;
  std::size_t next = 0;
  for (unsigned bit = shape.first_bit; bit <= std::min(shape.last_bit, Histogram::max_bits); ++bit) {
    const auto limit = std::uint64_t{1} << bit;
    for (; next < Histogram::bucket_count && Histogram::lower_bound_of(next) < limit; ++next) below += s.buckets[next];
    w.sample(name, "_bucket", labels, values, static_cast<double>(below), Writer::bound(scaled(limit - 1, shape.scale)), example_below(limit));
  }
  w.sample(name, "_bucket", labels, values, static_cast<double>(s.count), "+Inf", example_below(~std::uint64_t{0}));
  w.sample(name, "_sum", labels, values, scaled(s.sum, shape.scale));
  w.sample(name, "_count", labels, values, static_cast<double>(s.count));
}

}  // namespace

std::string Registry::expose(Format format) const {
  std::lock_guard lock(mutex_);
  Writer w(format);
  for (const auto& e : entries_) {
    switch (e->kind) {
      case counter_kind:
        w.head(e->name, e->help, "counter");
        e->counters->each([&](LabelValues v, const Counter& c) { w.sample(e->name, "", e->labels, v, scaled(c.value(), e->shape.scale)); });
        break;
      case gauge_kind:
        w.head(e->name, e->help, "gauge");
        e->gauges->each([&](LabelValues v, const Gauge& g) { w.sample(e->name, "", e->labels, v, g.value()); });
        break;
      case histogram_kind:
        w.head(e->name, e->help, "histogram");
        e->histograms->each([&](LabelValues v, const Histogram& h) { write_histogram(w, e->name, e->labels, v, h, e->shape); });
        break;
      default:
        w.head(e->name, e->help, "gauge");
        if (e->read) w.sample(e->name, "", {}, {}, e->read());
    }
  }
  return std::move(w).take();
}

}  // namespace ballast::metrics
