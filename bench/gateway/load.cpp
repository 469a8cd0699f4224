// gateway_load: a load generator. One thread, raw epoll, HTTP/1.1 keep-alive, loopback only, bounded in time.
//
//   rate    open loop: Poisson arrivals at RATE a second; latency counts from the *scheduled* moment, so a stall of the
//           server is charged to every request that should have been sent meanwhile (no coordinated omission)
//   max     closed loop: CONNECTIONS requests always under way; the most a server can do
//   stream  CONNECTIONS streams always under way, their starts spread over two seconds; measures the time to the first
//           byte and, from the upstream's stamp, how long each chunk was on its way
//
//   gateway_load MODE PORT PATH BODY_FILE CONNECTIONS RATE SECONDS [Header: value]...
// Prints one JSON object. Latencies are microseconds; the first half second (2.5 s of streams) is not counted.
#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "wire.hpp"

namespace {

using bench::now_ns;

struct Connection {
  int fd = -1;
  bool busy = false;
  bool first_byte_seen = false;
  std::uint64_t scheduled_ns = 0;
  std::uint64_t next_start_ns = 0;   // of a stream
  std::string in;
  std::optional<bench::Head> head;
  std::size_t scanned = 0;           // stamps before this were read
};

struct Samples {
  std::vector<std::uint32_t> ns;
  void add(std::uint64_t v) { ns.push_back(std::uint32_t(std::min<std::uint64_t>(v, 4'000'000'000))); }
  double percentile_us(double p) {
    if (ns.empty()) return 0;
    const auto k = std::ptrdiff_t(std::min(ns.size() - 1, std::size_t(p * double(ns.size()))));
    std::nth_element(ns.begin(), ns.begin() + k, ns.end());
    return ns[std::size_t(k)] / 1000.0;
  }
};

enum class Mode { rate, max, stream };

class Load {
 public:
  Load(Mode mode, int port, std::string request, unsigned connections, double rate, double seconds)
      : mode_(mode), port_(port), request_(std::move(request)), connections_(connections), arrivals_(rate > 0 ? rate : 1) {
    for (unsigned i = 0; i < connections; i++) open(i), idle_.push_back(i);
    begin_ = next_arrival_ = now_ns();
    end_ = begin_ + std::uint64_t(seconds * 1e9);
    warm_ = begin_ + (mode == Mode::stream ? 2'500'000'000 : 500'000'000);
    latency_.ns.reserve(1 << 20);
    if (mode == Mode::stream) spread_starts();
  }

  void run() {
    std::vector<epoll_event> events(1024);
    std::vector<char> buffer(1 << 18);
    if (mode_ == Mode::max) while (!idle_.empty()) fire(take_idle(), now_ns());
    while (!over()) {
      start_what_is_due();
      if (over()) break;
      const int n = bench::wait_until(epoll_, events.data(), int(events.size()), next_wakeup());
      for (int k = 0; k < n; k++) receive(events[size_t(k)].data.u32, buffer);
    }
    report();
  }

 private:
  void open(unsigned i) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const auto address = bench::loopback(port_);
    if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address)) bench::die("connect");
    bench::no_delay(fd);
    connections_[i].fd = fd;
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u32 = i;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e);
  }

  void reopen(unsigned i) {
    close(connections_[i].fd);
    open(i);
  }

  void spread_starts() {
    std::uniform_real_distribution<double> within(0, 2e9);
    for (auto& c : connections_) c.next_start_ns = begin_ + std::uint64_t(within(random_));
    std::sort(idle_.begin(), idle_.end(), [&](unsigned x, unsigned y) {
      return connections_[x].next_start_ns > connections_[y].next_start_ns;
    });
  }

  unsigned take_idle() {
    const unsigned i = idle_.back();
    idle_.pop_back();
    return i;
  }

  void fire(unsigned i, std::uint64_t scheduled_ns) {
    auto& c = connections_[i];
    c.busy = true;
    c.first_byte_seen = false;
    c.scheduled_ns = scheduled_ns;
    c.in.clear();
    c.head.reset();
    c.scanned = 0;
    in_flight_++;
    for (std::size_t sent = 0; sent < request_.size();) {
      const ssize_t r = send(c.fd, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
      if (r > 0) { sent += size_t(r); continue; }
      errors_++;
      reopen(i);
      sent = 0;
    }
  }

  void start_what_is_due() {
    const auto t = now_ns();
    if (mode_ == Mode::rate) {
      for (; next_arrival_ <= t && next_arrival_ < end_; next_arrival_ += std::uint64_t(arrivals_(random_) * 1e9))
        waiting_.push_back(next_arrival_);
      for (; !waiting_.empty() && !idle_.empty(); waiting_.pop_front()) fire(take_idle(), waiting_.front());
    } else if (mode_ == Mode::stream) {
      while (!idle_.empty() && connections_[idle_.back()].next_start_ns <= t && t < end_) fire(take_idle(), t);
    }
  }

  bool over() const {
    const auto t = now_ns();
    if (mode_ == Mode::rate) return (next_arrival_ >= end_ && waiting_.empty() && in_flight_ == 0) || t > end_ + 5'000'000'000;
    return t >= end_;
  }

  std::uint64_t next_wakeup() const {
    std::uint64_t at = now_ns() + 100'000'000;
    if (mode_ == Mode::rate && next_arrival_ < end_) at = std::min(at, next_arrival_);
    if (mode_ == Mode::stream && !idle_.empty()) at = std::min(at, connections_[idle_.back()].next_start_ns);
    return at;
  }

  void receive(unsigned i, std::vector<char>& buffer) {
    auto& c = connections_[i];
    const ssize_t r = recv(c.fd, buffer.data(), buffer.size(), 0);
    const auto t = now_ns();
    if (r <= 0) {
      if (c.busy) {
        errors_++;
        in_flight_--;
        c.busy = false;
        c.next_start_ns = t;
        idle_.push_back(i);
      }
      reopen(i);
      return;
    }
    if (!c.busy) return;
    if (!c.first_byte_seen) {
      c.first_byte_seen = true;
      if (t > warm_) first_byte_.add(t - c.scheduled_ns);
    }
    c.in.append(buffer.data(), size_t(r));
    if (!c.head) {
      c.head = bench::read_head(c.in);
      if (!c.head) return;
      c.scanned = c.head->size;
    }
    if (mode_ == Mode::stream) read_stamps(c, t);
    if (complete(c)) finish(i, t);
  }

  void read_stamps(Connection& c, std::uint64_t t) {
    const auto whole = bench::stamp_key.size() + bench::stamp_digits;
    for (std::size_t p; (p = c.in.find(bench::stamp_key, c.scanned)) != c.in.npos && c.in.size() >= p + whole;) {
      const std::uint64_t stamp = std::strtoull(c.in.c_str() + p + bench::stamp_key.size(), nullptr, 10);
      chunks_++;
      if (t > warm_) {
        warm_chunks_++;
        chunk_delay_.add(t - stamp);
      }
      c.scanned = p + whole;
    }
    if (c.scanned > 65536) {
      c.in.erase(0, c.scanned - c.head->size);
      c.scanned = c.head->size;
    }
  }

  static bool complete(const Connection& c) {
    if (!c.head->chunked) return c.in.size() >= c.head->size + c.head->content_length;
    return c.in.size() >= c.head->size + 5 && c.in.ends_with("0\r\n\r\n");
  }

  void finish(unsigned i, std::uint64_t t) {
    auto& c = connections_[i];
    (c.head->status == 200 ? ok_ : errors_)++;
    if (t > warm_) latency_.add(t - c.scheduled_ns);
    c.busy = false;
    in_flight_--;
    if (mode_ == Mode::max && t < end_) return fire(i, t);
    c.next_start_ns = t;
    idle_.push_back(i);
  }

  void report() {
    const double seconds = double(now_ns() - begin_) / 1e9;
    std::printf(R"({"ok":%llu,"errors":%llu,"seconds":%.3f,"per_second":%.1f,"p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"unsent":%zu)",
                static_cast<unsigned long long>(ok_), static_cast<unsigned long long>(errors_), seconds, double(ok_) / seconds,
                latency_.percentile_us(.5), latency_.percentile_us(.9), latency_.percentile_us(.99), waiting_.size());
    if (mode_ == Mode::stream)
      std::printf(R"(,"chunks":%llu,"chunks_per_second":%.0f,"ttfb_p50_us":%.1f,"ttfb_p99_us":%.1f,"delay_p50_us":%.1f,"delay_p99_us":%.1f)",
                  static_cast<unsigned long long>(chunks_), double(warm_chunks_) / std::max(0.1, seconds - 2.5),
                  first_byte_.percentile_us(.5), first_byte_.percentile_us(.99),
                  chunk_delay_.percentile_us(.5), chunk_delay_.percentile_us(.99));
    std::printf("}\n");
  }

  const Mode mode_;
  const int port_;
  const std::string request_;
  std::vector<Connection> connections_;
  std::vector<unsigned> idle_;
  int epoll_ = epoll_create1(0);
  std::mt19937_64 random_{42};
  std::exponential_distribution<double> arrivals_;
  std::deque<std::uint64_t> waiting_;      // scheduled, no connection free yet
  std::uint64_t begin_ = 0, end_ = 0, warm_ = 0, next_arrival_ = 0;
  std::uint64_t ok_ = 0, errors_ = 0, chunks_ = 0, warm_chunks_ = 0, in_flight_ = 0;
  Samples latency_, first_byte_, chunk_delay_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) return std::fprintf(stderr, "usage: gateway_load rate|max|stream PORT PATH BODY_FILE CONNECTIONS RATE SECONDS [Header: value]...\n"), 2;
  bench::prepare_process();
  const std::string name = argv[1];
  const Mode mode = name == "rate" ? Mode::rate : name == "max" ? Mode::max : Mode::stream;
  std::ifstream file(argv[4]);
  const std::string body{std::istreambuf_iterator<char>(file), {}};
  if (body.empty()) bench::die("body");
  std::string request = std::string("POST ") + argv[3] + " HTTP/1.1\r\nHost: 127.0.0.1:" + argv[2] +
                        "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  for (int i = 8; i < argc; i++) request += std::string(argv[i]) + "\r\n";
  Load(mode, std::atoi(argv[2]), request + "\r\n" + body, unsigned(std::atoi(argv[5])), std::atof(argv[6]), std::atof(argv[7])).run();
}
