// LiveText: tells the followers of a job the text of an answer while it comes, as events of kind "token".
//
// Pieces are gathered for a moment and written together as one durable event, conditional on the job's fence, so that a follower that was
// away misses nothing and the database is not written for each token. What is left at the end is written with the job's last commit.
// Bounded for a lease: kMostLiveEvents events and kMostLiveBytes of text; the last event then says `"more":true`: the whole answer is the
// job's output. A lease that begins anew within one attempt (the process was told to end) says so with an event "reset".
//
// Single-threaded: the engine's home loop. Outlives its writes: `close` before it dies.
#pragma once
#include <coroutine>
#include <string>
#include <string_view>
#include <vector>

#include "work/engine.hpp"

namespace ballast::work {

inline constexpr Duration kLivePause = std::chrono::milliseconds(150);   // between two events
inline constexpr std::size_t kLivePiece = 8u << 10;                      // bytes of text of one event: written at once when there are so many
inline constexpr std::size_t kMostLiveEvents = 4'000, kMostLiveBytes = 4u << 20;

class LiveText {
 public:
  // Borrows the engine and the lease.
  LiveText(Engine& engine, const Lease& lease) : engine_(engine), lease_(lease) {}
  ~LiveText();
  LiveText(const LiveText&) = delete;
  LiveText& operator=(const LiveText&) = delete;

  // The next words of one of the answer's choices.
  void add(std::uint32_t choice, std::string_view text);
  // Nothing more comes. What has not been written yet, for the commit that ends the lease; empty if there is nothing.
  Task<Also> close();

 private:
  struct Piece {
    std::uint32_t choice = 0;
    std::string text;
    bool more = false;                       // and nothing after it
  };
  void write_soon();
  Also take();
  Task<void> write();

  Engine& engine_;
  const Lease& lease_;
  std::vector<Piece> pieces_;                // gathered, not given to the database yet
  std::size_t gathered_ = 0, bytes_ = 0, events_ = 0;
  bool full_ = false, closed_ = false, first_ = true, writing_ = false;
  Timer timer_;
  TaskGroup writes_{"live text"};            // one at a time
};

}  // namespace ballast::work
