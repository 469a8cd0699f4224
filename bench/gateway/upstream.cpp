// gateway_upstream: a fast fake provider in OpenAI's shape. One thread, raw epoll, HTTP/1.1 keep-alive, loopback only.
//
// A chat completion with "stream":true is answered by CHUNKS events, one every DELAY milliseconds; anything else by a
// fixed JSON completion. Every event and every reply carries the moment it was written (`wire.hpp`), so that the load
// generator can tell how long the gateway held it.
//
//   gateway_upstream PORT [CHUNKS=100] [DELAY_MS=20] [REPLY_BYTES=600]
#include <queue>
#include <vector>

#include "wire.hpp"

namespace {

struct Connection {
  std::string in;
  int chunks_left = 0;            // of the stream under way
  bool wants_usage = false;
  std::uint32_t generation = 0;   // of this descriptor: a due chunk of an earlier connection is dropped
  bool open = false;
};

struct Due {
  std::uint64_t at_ns;
  int fd;
  std::uint32_t generation;
  bool operator<(const Due& o) const { return at_ns > o.at_ns; }
};

// A piece of output with a stamp inside.
struct Stamped {
  std::string bytes;
  std::size_t stamp = 0;
  explicit Stamped(std::string b) : bytes(std::move(b)), stamp(bytes.find(bench::stamp_key) + bench::stamp_key.size()) {}
  std::string_view now() { return bench::write_stamp(bytes.data() + stamp, bench::now_ns()), bytes; }
};

std::string http_chunk(const std::string& data) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + data + "\r\n";
}

std::string completion(std::size_t bytes) {
  const std::string head = R"({"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model",)"
      R"("t":"0000000000000000000","choices":[{"index":0,"message":{"role":"assistant","content":")";
  const std::string tail = R"("},"logprobs":null,"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":200,"completion_tokens":50,"total_tokens":250},"system_fingerprint":"fp_1"})";
  std::string text;
  while (head.size() + text.size() + tail.size() < bytes) text += "lorem ipsum ";
  const std::string body = head + text + tail;
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string event(const char* delta, const char* finish) {
  return http_chunk(std::string(R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,)"
      R"("model":"bench-model","system_fingerprint":"fp_1","t":"0000000000000000000","choices":[{"index":0,"delta":)") +
      delta + R"(,"logprobs":null,"finish_reason":)" + finish + "}]}\n\n");
}

class Upstream {
 public:
  Upstream(int port, int chunks, double delay_ms, std::size_t reply_bytes)
      : chunks_(chunks), delay_ns_(std::uint64_t(delay_ms * 1e6)), reply_(completion(reply_bytes)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const auto address = bench::loopback(port);
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) || listen(listener_, 8192)) bench::die("bind");
    watch(listener_);
  }

  [[noreturn]] void run() {
    std::vector<epoll_event> events(512);
    std::vector<char> buffer(1 << 18);
    for (;;) {
      const auto deadline = due_.empty() ? bench::now_ns() + 1'000'000'000 : due_.top().at_ns;
      const int n = bench::wait_until(epoll_, events.data(), int(events.size()), deadline);
      for (int i = 0; i < n; i++) {
        const int fd = events[size_t(i)].data.fd;
        if (fd == listener_) { accept_all(); continue; }
        const ssize_t r = recv(fd, buffer.data(), buffer.size(), 0);
        if (r < 0 && errno == EAGAIN) continue;
        if (r <= 0) { drop(fd); continue; }
        connections_[size_t(fd)].in.append(buffer.data(), size_t(r));
        answer(fd);
      }
      send_due();
    }
  }

 private:
  void watch(int fd) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e);
  }

  void accept_all() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      bench::no_delay(fd);
      if (size_t(fd) >= connections_.size()) connections_.resize(size_t(fd) * 2 + 64);
      auto& c = connections_[size_t(fd)];
      c = Connection{.generation = c.generation + 1, .open = true};
      watch(fd);
    }
  }

  void drop(int fd) {
    auto& c = connections_[size_t(fd)];
    c = Connection{.generation = c.generation + 1};
    close(fd);
  }

  // Blocks for a moment when the peer's window is full: the reader is always faster than these small pieces.
  bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t r = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (r < 0 && errno == EAGAIN) { usleep(200); continue; }
      if (r < 0) { drop(fd); return false; }
      bytes.remove_prefix(size_t(r));
    }
    return true;
  }

  void answer(int fd) {
    for (auto* c = &connections_[size_t(fd)]; c->open && c->chunks_left == 0;) {
      const auto head = bench::read_head(c->in);
      if (!head) return;
      std::size_t end = head->size + head->content_length;
      if (head->chunked) {
        const auto last = c->in.find("0\r\n\r\n", head->size);
        if (last == c->in.npos) return;
        end = last + 5;
      }
      if (c->in.size() < end) return;
      const auto body = std::string_view(c->in).substr(head->size, end - head->size);
      const bool stream = body.find("\"stream\":true") != body.npos || body.find("\"stream\": true") != body.npos;
      c->wants_usage = body.find("\"include_usage\":true") != body.npos || body.find("\"include_usage\": true") != body.npos;
      c->in.erase(0, end);
      if (!stream) {
        if (!send_all(fd, reply_.now())) return;
        continue;
      }
      c->chunks_left = chunks_;
      static const std::string start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                       "Transfer-Encoding: chunked\r\n\r\n";
      if (!send_all(fd, start + std::string(chunk_.now()))) return;
      c->chunks_left--;
      due_.push({bench::now_ns() + delay_ns_, fd, c->generation});
    }
  }

  void send_due() {
    const auto t = bench::now_ns();
    while (!due_.empty() && due_.top().at_ns <= t) {
      const Due due = due_.top();
      due_.pop();
      auto& c = connections_[size_t(due.fd)];
      if (!c.open || c.generation != due.generation) continue;
      if (--c.chunks_left > 0) {
        if (send_all(due.fd, chunk_.now())) due_.push({due.at_ns + delay_ns_, due.fd, due.generation});
        continue;
      }
      c.chunks_left = 0;
      std::string end(last_.now());
      if (c.wants_usage) end += usage_;
      if (send_all(due.fd, end + http_chunk("data: [DONE]\n\n") + "0\r\n\r\n")) answer(due.fd);
    }
  }

  const int chunks_;
  const std::uint64_t delay_ns_;
  Stamped reply_;
  Stamped chunk_{event(R"({"content":" token"})", "null")};
  Stamped last_{event("{}", "\"stop\"")};
  const std::string usage_ = http_chunk(
      R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model","choices":[],)"
      R"("usage":{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}})" "\n\n");
  int epoll_ = epoll_create1(0);
  int listener_ = -1;
  std::vector<Connection> connections_ = std::vector<Connection>(1024);
  std::priority_queue<Due> due_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: gateway_upstream PORT [CHUNKS] [DELAY_MS] [REPLY_BYTES]\n"), 2;
  bench::prepare_process();
  Upstream(std::atoi(argv[1]), argc > 2 ? std::atoi(argv[2]) : 100, argc > 3 ? std::atof(argv[3]) : 20,
           argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 600).run();
}
