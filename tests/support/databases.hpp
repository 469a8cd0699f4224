// Every test of stored things runs on both databases:
//   class LedgerTest : public test::OnBothDatabases {};   TEST_P(LedgerTest, …) { auto& db = database(); … }
//   BALLAST_ON_BOTH_DATABASES(LedgerTest);
#pragma once
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "postgres.hpp"
#include "temp_dir.hpp"

namespace ballast::test {

class OnBothDatabases : public ::testing::TestWithParam<store::Dialect> {
 protected:
  void SetUp() override {
    if (GetParam() == store::Dialect::sqlite) {
      url_ = "sqlite:" + (directory_ / "test.db");
    } else {
      if (!Postgres::instance()) GTEST_SKIP() << "PostgreSQL 15 is not installed (apt-get install postgresql-15)";
      url_ = Postgres::instance()->fresh_url();
    }
    reopen();
  }
  // Closes and opens again, as a restart does.
  void reopen(store::OpenOptions options = {}) {
    database_.reset();
    auto opened = store::open_database(url_, options);
    ASSERT_TRUE(opened) << describe(opened.error());
    database_ = std::move(*opened);
  }
  store::Database& database() { return *database_; }
  const std::string& url() const { return url_; }
  const TempDir& directory() const { return directory_; }
  bool sqlite() const { return GetParam() == store::Dialect::sqlite; }

 private:
  TempDir directory_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

// A loop for one test thread: runs a task to its end, blocking while other threads work for it.
class WaitingLoop final : public Scheduler {
 public:
  const Clock& clock() const override { return clock_; }
  void post(std::function<void()> f) override {
    std::lock_guard lock(mutex_);
    ready_.push_back(std::move(f));
    wake_.notify_one();
  }
  void resume(std::coroutine_handle<> h) override { post([h] { h.resume(); }); }
  void arm(Timer&, MonoTime, Timer::Callback, void*) override { std::abort(); }
  unsigned index() const override { return 0; }
  bool on_this_thread() const override { return true; }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    detach(store(std::move(task), out), [](std::exception_ptr) { std::abort(); });
    while (!out) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return !ready_.empty(); });
        next = std::move(ready_.front());
        ready_.pop_front();
      }
      next();
    }
    return std::move(*out);
  }

 private:
  template <class T>
  static Task<void> store(Task<T> task, std::optional<T>& out) {
    T value = co_await task;
    out.emplace(std::move(value));
  }
  SystemClock clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> ready_;
};

}  // namespace ballast::test

#define BALLAST_ON_BOTH_DATABASES(suite)                                                                                        \
  INSTANTIATE_TEST_SUITE_P(Databases, suite, ::testing::Values(::ballast::store::Dialect::sqlite, ::ballast::store::Dialect::postgres), \
                           [](const auto& info) { return info.param == ::ballast::store::Dialect::sqlite ? "SQLite" : "PostgreSQL"; })
