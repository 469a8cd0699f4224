#include "records/journal_file.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "records/segment_file.hpp"

namespace ballast::records {
namespace {

constexpr std::size_t kPage = 4096;

// A file of frames in pages, each page but the first behind a skip frame.
class Frames {
 public:
  void add(std::string_view payload, FrameType type = FrameType::outcome) {
    std::string frame(kFrameHeader, '\0');
    frame += payload;
    seal_frame(frame, type);
    bytes += frame;
  }
  void leave_page() {
    std::string frame;
    skip_frame(frame, bytes.size());
    bytes.resize((bytes.size() + kPage - 1) / kPage * kPage);
    bytes += frame;
  }
  std::string bytes;
};

struct Read {
  std::vector<std::string> payloads;
  std::uint64_t damaged = 0;
};

Read read(const std::string& bytes, std::uint64_t from = 0) {
  const int fd = ::memfd_create("frames", MFD_CLOEXEC);
  EXPECT_TRUE(write_fully(fd, bytes, 0, 0));
  FrameReader reader(fd, from);
  Read out;
  for (;;) {
    const auto frame = reader.next(bytes.size(), true);
    EXPECT_TRUE(frame);
    if (!frame || !*frame) break;
    out.payloads.emplace_back((*frame)->payload);
  }
  out.damaged = reader.damaged();
  ::close(fd);
  return out;
}

Frames three_pages() {
  Frames file;
  file.add("one");
  file.add("two");
  file.leave_page();
  file.add("three");
  file.leave_page();
  file.add("four");
  return file;
}

TEST(JournalFile, RoomLeftOnPurposeIsPassedOver) {
  const Read all = read(three_pages().bytes);
  EXPECT_EQ(all.payloads, (std::vector<std::string>{"one", "two", "three", "four"}));
  EXPECT_EQ(all.damaged, 0u);
}

TEST(JournalFile, AReaderThatBeginsWhereTheRoomDoesSeesNoDamage) {
  const Read rest = read(three_pages().bytes, 2 * (kFrameHeader + 3));
  EXPECT_EQ(rest.payloads, (std::vector<std::string>{"three", "four"}));
  EXPECT_EQ(rest.damaged, 0u);
}

TEST(JournalFile, AFrameLostBeforeTheRoomIsDamageOfItsOwnLength) {
  std::string bytes = three_pages().bytes;
  const std::size_t two = kFrameHeader + 3;
  std::fill_n(bytes.data() + two, kFrameHeader + 3, '\0');   // the power failed: zeros, as if nothing had been written
  const Read rest = read(bytes);
  EXPECT_EQ(rest.payloads, (std::vector<std::string>{"one", "three", "four"}));
  EXPECT_EQ(rest.damaged, kFrameHeader + 3);
}

TEST(JournalFile, WithoutItsSkipFrameTheRoomCannotBeToldFromLoss) {
  std::string bytes = three_pages().bytes;
  bytes[kPage] = 0;
  const Read rest = read(bytes);
  EXPECT_EQ(rest.payloads, (std::vector<std::string>{"one", "two", "three", "four"}));
  EXPECT_EQ(rest.damaged, kPage + kSkipFrame - 2 * (kFrameHeader + 3));
}

TEST(JournalFile, ASkipFrameThatPointsAheadOrSaysNothingExcusesNothing) {
  for (const std::uint64_t from : {std::uint64_t{5'000}, ~std::uint64_t{0}}) {
    Frames file;
    file.add("one");
    std::string skip;
    skip_frame(skip, from);
    file.bytes.append(100, '\0');
    file.bytes += skip;
    file.add("two");
    EXPECT_EQ(read(file.bytes).damaged, 100u);
  }
}

// A version after may write frames that this one does not know, as this one's skip frames were not known before.
TEST(JournalFile, AFrameOfAnUnknownTypeIsDamageOfItsOwnLengthAndTheRestIsRead) {
  Frames file;
  file.add("one");
  file.add("of a later version", static_cast<FrameType>(5));
  file.add("two");
  file.add("again, at the end", static_cast<FrameType>(255));
  const Read all = read(file.bytes);
  EXPECT_EQ(all.payloads, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(all.damaged, 2 * kFrameHeader + 18 + 17);
}

}  // namespace
}  // namespace ballast::records
