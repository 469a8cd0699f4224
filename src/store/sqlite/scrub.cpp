#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "store/drivers.hpp"

namespace ballast::store {

Result<void> scrub_sqlite(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::unexpected(make_error(Fault::unavailable, "there is no database at " + path));
  const int lock = ::open((path + "-checkpointer").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::unique_ptr<const int, void (*)(const int*)> held(&lock, [](const int* fd) { ::close(*fd); });
  if (lock < 0 || ::flock(lock, LOCK_EX | LOCK_NB) != 0) return fail(ErrorCode::caller_conflict, "a server uses " + path + ": stop it first", "database");
  sqlite3* opened = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, void (*)(sqlite3*)> db(opened, [](sqlite3* d) { sqlite3_close(d); });
  if (rc != SQLITE_OK) return std::unexpected(make_error(Fault::unavailable, path + ": " + sqlite3_errmsg(opened)));
  // Out of the write-ahead log and back: the log is a new file afterwards.
  for (const char* sql : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=DELETE", "VACUUM", "PRAGMA journal_mode=WAL"})
    if (sqlite3_exec(opened, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
      return std::unexpected(make_error((sqlite3_errcode(opened) & 0xff) == SQLITE_FULL ? Fault::full : Fault::unavailable, path + ": " + sqlite3_errmsg(opened)));
  return {};
}

}  // namespace ballast::store
