#include "records/rejected.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/ids.hpp"
#include "records/budgets.hpp"
#include "records/journal_file.hpp"
#include "records/ledger.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMostListed = 10'000;

struct File {
  explicit File(int fd) : fd(fd) {}
  ~File() { if (fd >= 0) ::close(fd); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd;
};

std::unexpected<Error> failed(const std::string& path) {
  return fail(ErrorCode::internal_unavailable, path + ": " + std::strerror(errno));
}

// A frame's payload as the call it is, or was meant to be: an intent whose outcome never came is set aside as it stands.
Result<CallRecord> read_call(std::string_view payload) {
  auto call = decode_call(payload);
  if (call) return call;
  auto intent = decode_intent(payload);
  if (!intent) return call;
  return unknown_outcome(*intent);
}

// Appends a frame to the file that the importer appends to, whole or not at all.
Result<void> keep(const std::string& path, std::string_view payload) {
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  std::string frame(kFrameHeader, '\0');
  frame += payload;
  seal_frame(frame, FrameType::outcome);
  if (file.fd < 0 || ::write(file.fd, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size()) || ::fdatasync(file.fd) != 0) return failed(path);
  return {};
}

// One call into the ledger. Error: the database is away; a refusal is in `told`.
Result<void> try_again(store::Database& database, const CallRecord& call, const RejectedHooks& hooks, RejectedCall& told) {
  const auto added = database.write_now([&](store::Tx& tx) -> Result<std::uint64_t> {
    std::vector<BudgetCharge> charged;
    auto done = add_calls(tx, {&call, 1}, &charged);
    if (!done || charged.empty() || !hooks.charged) return done;
    if (auto noted = hooks.charged(tx, sum_by_window(charged)); !noted) return fail(noted.error());
    return done;
  });
  if (added) {
    told.outcome = *added ? "imported" : "already there";
    return {};
  }
  const store::Fault fault = store::fault_of(added.error());
  if (fault != store::Fault::broken && fault != store::Fault::conflict && fault != store::Fault::none) return fail(added.error());
  told.outcome = "refused";
  told.error = added.error().message;
  return {};
}

// Every frame of `taken`; what is not wanted again goes to `back`.
Result<void> import_file(const std::string& taken, const std::string& back, store::Database& database, RejectedReport& report, const RejectedHooks& hooks) {
  const File file(::open(taken.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (file.fd < 0 || ::fstat(file.fd, &info) != 0) return failed(taken);
  FrameReader reader(file.fd, 0);
  std::uint64_t read = 0;
  for (;;) {
    auto frame = reader.next(static_cast<std::uint64_t>(info.st_size), true);
    if (!frame) return fail(std::move(frame.error()));
    if (!*frame) break;
    if (hooks.progress) hooks.progress(read += kFrameHeader + (*frame)->payload.size(), static_cast<std::uint64_t>(info.st_size));
    RejectedCall told;
    if (const auto call = read_call((*frame)->payload)) {
      told.call = to_string(call->id, "call");
      if (auto done = try_again(database, *call, hooks, told); !done) return done;
    } else {
      told.outcome = "unreadable";
      told.error = call.error().message;
    }
    ++(told.outcome == "imported" ? report.imported : told.outcome == "already there" ? report.present : report.refused);
    if (!told.error.empty())
      if (auto kept = keep(back, (*frame)->payload); !kept) return kept;
    if (report.calls.size() < kMostListed) report.calls.push_back(std::move(told));
  }
  report.damaged_bytes += reader.damaged();
  return {};
}

}  // namespace

// The file is taken aside first, so that a running importer begins another one; one taken by a run that died is finished first.
Result<RejectedReport> import_rejected(const std::string& directory, store::Database& database, const RejectedHooks& hooks) {
  const std::string file = directory + "/rejected", taken = file + ".taken";
  RejectedReport report;
  for (int round = 0; round < 2; ++round) {
    std::error_code missing;
    if (!std::filesystem::exists(taken, missing)) {
      if (!std::filesystem::exists(file, missing)) break;
      if (::rename(file.c_str(), taken.c_str()) != 0) return failed(file);
      round = 1;
    }
    if (auto done = import_file(taken, file, database, report, hooks); !done) return fail(std::move(done.error()));
    if (::unlink(taken.c_str()) != 0) return failed(taken);
  }
  return report;
}

}  // namespace ballast::records
