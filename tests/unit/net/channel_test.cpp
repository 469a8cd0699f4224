#include "net/channel.hpp"

#include <sys/socket.h>

#include "world.hpp"

namespace ballast::net::test {
namespace {

// A channel on a loop, and the blocking other end of its socket.
struct Line {
  Line() : loops(1, clock) {
    int ends[2];
    EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
    fd = ends[0];
    peer = ends[1];
    loops.start();
  }
  ~Line() {
    on_loop([&] { channel.reset(); });
    ::close(peer);
  }
  void on_loop(std::function<void()> f) {
    run<int>(loops.at(0), [&]() -> Task<int> {
      f();
      co_return 0;
    });
  }
  void open() { channel = Channel::make(loops.at(0), fd); }
  // Until the socket takes no more.
  void fill() {
    static char block[64 * 1024];
    iovec piece;
    do piece = {block, sizeof block};
    while (channel->send(&piece, 1).kind == IoResult::Kind::bytes);
  }
  void drain() {
    char block[64 * 1024];
    while (::recv(peer, block, sizeof block, 0) > 0) {}
  }
  SystemClock clock;
  LoopGroup loops;
  int fd = -1, peer = -1;
  Channel::Ref channel;
};

// Waits for room, then does `next`.
Task<void> write_later(Channel& channel, std::function<void(Wake)> next) {
  const Wake woke = co_await channel.writable(no_deadline);
  next(woke);
}

// `next` runs when the writer has been woken; true: the watch was told too.
bool one_event_for_both(std::function<void(Line&)> next) {
  Line line;
  std::promise<Wake> wrote;
  std::promise<void> told;
  line.on_loop([&] {
    line.open();
    line.fill();
    line.channel->watch([](void* p) { static_cast<std::promise<void>*>(p)->set_value(); }, &told);
    detach(write_later(*line.channel, [&](Wake how) {
      next(line);
      wrote.set_value(how);
    }), [](std::exception_ptr) {});
    // The loop hears of both at once: there is room again, and the peer has gone.
    line.drain();
    ::shutdown(line.peer, SHUT_WR);
  });
  EXPECT_EQ(Wake::ready, wrote.get_future().get());
  line.on_loop([] {});                    // the turn of that event is over
  line.on_loop([] {});
  return told.get_future().wait_for(0s) == std::future_status::ready;
}

TEST(Channel, TheEventThatWakesAWriterAlsoTellsTheWatch) {
  EXPECT_TRUE(one_event_for_both([](Line&) {}));
}

TEST(Channel, AWriterThatClosesOnceWokenHearsNothingMore) {
  EXPECT_FALSE(one_event_for_both([](Line& line) { line.channel->close(); }));
  EXPECT_FALSE(one_event_for_both([](Line& line) {
    line.channel->close();
    line.channel.reset();                 // what the event still needs is held by the loop
  }));
  EXPECT_FALSE(one_event_for_both([](Line& line) { line.channel->watch(nullptr, nullptr); }));
}

TEST(Channel, AClosedOneIsNeverWorthWaitingFor) {
  Line line;
  line.on_loop([&] {
    line.open();
    EXPECT_TRUE(line.channel->surely_blocked());
    line.channel->close();
    EXPECT_FALSE(line.channel->surely_blocked());
    char byte;
    EXPECT_EQ(IoResult::Kind::broken, line.channel->receive(&byte, 1).kind);
  });
}

// Short messages are copied together, longer ones go in their pieces: nobody can tell.
TEST(Channel, AMessageArrivesWholeWhateverItsSizeAndPieces) {
  for (const std::size_t size : {1U, 2047U, 2048U, 2049U, 5000U})
    for (const std::size_t pieces : {1U, 3U, 16U}) {
      Line line;
      std::string message(size, ' ');
      for (std::size_t i = 0; i < size; ++i) message[i] = static_cast<char>('a' + i % 26);
      line.on_loop([&] {
        line.open();
        std::vector<iovec> parts;
        for (std::size_t i = 0; i < pieces; ++i) {
          const std::size_t from = size * i / pieces;
          parts.push_back({message.data() + from, size * (i + 1) / pieces - from});
        }
        const IoResult sent = line.channel->send(parts.data(), parts.size());
        ASSERT_EQ(sent.kind, IoResult::Kind::bytes);
        ASSERT_EQ(sent.bytes, size);
        for (const iovec& part : parts) ASSERT_EQ(part.iov_len, 0U);
      });
      std::string got(size + 1, ' ');
      const auto n = ::recv(line.peer, got.data(), got.size(), 0);
      ASSERT_EQ(n, static_cast<ssize_t>(size)) << pieces;
      got.resize(size);
      EXPECT_EQ(got, message);
    }
}

}  // namespace
}  // namespace ballast::net::test
