#include "records/segment_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "records/journal_file.hpp"

namespace ballast::records {

namespace {

constexpr std::uint64_t kAhead = std::uint64_t{16} << 20;   // prepared beyond what is written: 0.3 s at full load, a slow sync and more
constexpr std::uint64_t kNear = std::uint64_t{256} << 10;   // readied again each time: the kernel may have written them, and taken them back
constexpr std::uint64_t kPage = 65536;                      // of any machine: madvise takes whole pages only
constexpr std::uint64_t kFirst = std::uint64_t{256} << 10;  // prepared by the writer itself, for a file it opens unprepared

bool promises_blocks(int fd) {
  struct statfs info{};
  if (::fstatfs(fd, &info) != 0) return false;
  return info.f_type == EXT4_SUPER_MAGIC || info.f_type == XFS_SUPER_MAGIC || info.f_type == TMPFS_MAGIC;
}

// As for a write: else the first store into each page would still ask the file system, and wait while it commits.
// In pieces, between which a loop that shares the core may run: not every kernel lets it within one.
void populate(char* from, std::uint64_t bytes) {
#ifdef MADV_POPULATE_WRITE
  constexpr int advice = MADV_POPULATE_WRITE;          // refused by older kernels: the writer then takes the faults
#else
  constexpr int advice = MADV_WILLNEED;
#endif
  for (std::uint64_t done = 0; done < bytes; done += kPage) (void)::madvise(from + done, std::min(kPage, bytes - done), advice);
}

}  // namespace

Result<void> SegmentFile::create(const std::string& path, std::uint64_t bytes) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) return std::unexpected(system_error("the call journal cannot open a file", errno));
  const bool maps = promises_blocks(fd_);
  const bool allocated = ::fallocate(fd_, maps ? 0 : FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0;
  if (!allocated && errno != EOPNOTSUPP && errno != ENOSYS) {
    const int e = errno;
    ::unlink(path.c_str());
    close();
    return std::unexpected(system_error("the call journal cannot allocate a file", e));
  }
  if (!maps || !allocated) return {};
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) return {};      // pwrite does as well
  map_ = static_cast<char*>(map);
  (void)::madvise(map_, bytes, MADV_RANDOM);   // page by page: else the kernel takes, writes and protects many as one
  room_ = bytes;
  prepared_ = std::min(kFirst, room_) & ~(kPage - 1);
  populate(map_, prepared_);
  return {};
}

Result<void> SegmentFile::write(std::string_view frame, std::uint64_t at, int injected_errno) {
  if (!map_ || injected_errno || at + frame.size() > room_) return write_fully(fd_, frame, at, injected_errno);
  char* to = map_ + at;
  std::memcpy(to + kFrameMagic, frame.data() + kFrameMagic, frame.size() - kFrameMagic);
  std::atomic_signal_fence(std::memory_order_release);
  std::memcpy(to, frame.data(), kFrameMagic);
  return {};
}

std::uint64_t SegmentFile::next_page(std::uint64_t written) const {
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return map_ ? (written + page - 1) / page * page : written;
}

void SegmentFile::prepare(std::uint64_t written) {
  if (!map_) return;
  const std::uint64_t near = next_page(written);
  if (near < prepared_) populate(map_ + near, std::min(kNear, prepared_ - near));
  if (prepared_ >= room_ || written + kAhead / 2 < prepared_) return;
  const std::uint64_t until = std::min(room_, written + kAhead) & ~(kPage - 1);
  if (until <= prepared_) return;
  populate(map_ + prepared_, until - prepared_);
  prepared_ = until;
}

int SegmentFile::sync(std::uint64_t from, std::uint64_t to) {
  if (!map_ || to > room_) return ::fdatasync(fd_) == 0 ? 0 : errno;
  const std::uint64_t page = from & ~(kPage - 1);
  return ::msync(map_ + page, to - page, MS_SYNC) == 0 ? 0 : errno;
}

void SegmentFile::finish(std::uint64_t written) {
  if (map_) ::munmap(std::exchange(map_, nullptr), room_);
  (void)!::ftruncate(fd_, static_cast<off_t>(written));
  close();
}

void SegmentFile::close() {
  if (map_) ::munmap(std::exchange(map_, nullptr), room_);
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<void> write_fully(int fd, std::string_view bytes, std::uint64_t at, int injected_errno, std::string_view file) {
  const auto failed = [&](int e) { return std::unexpected(system_error(std::string(file) + " cannot be written", e)); };
  if (injected_errno) return failed(injected_errno);
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0) {
      if (errno == EINTR) continue;
      return failed(errno);
    }
    at += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Error system_error(std::string what, int error_number) {
  what.append(": ").append(std::generic_category().message(error_number));
  return Error{.code = ErrorCode::internal_unavailable, .message = std::move(what), .retryable = true};
}

}  // namespace ballast::records
