// A real database whose transactions can be made to fail: before they run, after they have run, or after their commit. Its writes and reads happen
// at once on the calling thread, so a test is the same story every time.
#pragma once
#include <deque>
#include <functional>
#include <utility>

#include "store/database.hpp"

namespace ballast::test {

// Forwards to a database, on the calling thread.
class ObedientDatabase final : public store::Database {
 public:
  enum class Fate { fine, away, full, broken, lost_after, unknown_written, unknown_lost };
  explicit ObedientDatabase(store::Database& real) : real_(real) {}

  std::deque<Fate> next;                     // of the writes to come; then `otherwise`
  Fate otherwise = Fate::fine;
  bool reads_away = false;
  std::size_t writes = 0;
  std::function<void()> during;              // called while a write is under way

  store::Dialect dialect() const override { return real_.dialect(); }
  Stats stats() const override { return real_.stats(); }

 protected:
  void submit_write(store::Job& job, store::WriteOptions options) override {
    ++writes;
    Fate fate = otherwise;
    if (!next.empty()) fate = next.front(), next.pop_front();
    if (during) std::exchange(during, {})();
    const store::Fault fault = fault_of(fate);
    if (fate == Fate::away || fate == Fate::full || fate == Fate::broken) return job.finish(error(fault));
    auto done = real_.write_now([&](store::Tx& tx) -> Result<void> {
      auto ran = job.run(tx);
      if (ran && (fate == Fate::lost_after || fate == Fate::unknown_lost)) return error(fault);
      return ran;
    }, options);
    if (done && fate == Fate::unknown_written) done = error(fault);
    job.finish(std::move(done));
  }
  void submit_read(store::Job& job, store::ReadOptions options) override {
    if (reads_away) return job.finish(error(store::Fault::unavailable));
    job.finish(real_.read_now([&](store::Tx& tx) { return job.run(tx); }, options));
  }

 private:
  static store::Fault fault_of(Fate fate) {
    switch (fate) {
      case Fate::fine: return store::Fault::none;
      case Fate::full: return store::Fault::full;
      case Fate::broken: return store::Fault::broken;
      case Fate::unknown_written:
      case Fate::unknown_lost: return store::Fault::commit_unknown;
      case Fate::away:
      case Fate::lost_after: break;
    }
    return store::Fault::unavailable;
  }
  static Result<void> error(store::Fault fault) { return std::unexpected(store::make_error(fault, "injected by the test")); }
  store::Database& real_;
};

}  // namespace ballast::test
