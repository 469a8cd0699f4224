// The file a journal writer appends to: through a shared mapping where the file system has promised the blocks, else by pwrite.
//
// A store into a shared mapping is in the kernel's page cache as a write would be: it survives SIGKILL, and msync brings it to the
// disk. It costs 0.2 µs where pwrite costs 1.2. What it cannot do is fail: a page without a block behind it would end the process
// (SIGBUS). So it is used only where fallocate is a promise (ext4, XFS, tmpfs); elsewhere, copy-on-write file systems among them, the
// frames go through pwrite, which says when the disk is full.
//
// Concurrency: `append` by one thread at a time; `prepare` and `sync` by one other.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::records {

class SegmentFile {
 public:
  SegmentFile() = default;
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;
  ~SegmentFile() { close(); }

  // A new file with room for `bytes`. Errors name the path; nothing is left behind.
  Result<void> create(const std::string& path, std::uint64_t bytes);
  bool is_open() const { return fd_ >= 0; }
  bool mapped() const { return map_ != nullptr; }
  // The frame at `at`, its first bytes last: a reader sees it whole or, after a kill, not at all. A failed write may leave
  // bytes behind `at`; the next one goes over them. May go beyond the room the file was made with.
  Result<void> write(std::string_view frame, std::uint64_t at, int injected_errno);
  // Readies the pages behind `written`, those that were taken back meanwhile too, so that the writer does not wait for them.
  void prepare(std::uint64_t written);
  // Brings to the disk what was written between `from` and `to`; what is readied behind `to` stays where it is. 0 or errno.
  int sync(std::uint64_t from, std::uint64_t to);
  // Where a writer should go on while and after what is before `written` is brought to the disk: that takes the page it ends in from
  // the mapping, and the next store into it would wait for the file system. `written` where that does not matter.
  std::uint64_t next_page(std::uint64_t written) const;
  // Cuts the file to `written` bytes and closes it.
  void finish(std::uint64_t written);
  void close();

 private:
  int fd_ = -1;
  char* map_ = nullptr;
  std::uint64_t room_ = 0;
  std::uint64_t prepared_ = 0;
};

// `file` is what errors call it.
Result<void> write_fully(int fd, std::string_view bytes, std::uint64_t at, int injected_errno, std::string_view file = "the call journal");
Error system_error(std::string what, int error_number);

}  // namespace ballast::records
