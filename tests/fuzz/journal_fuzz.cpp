// A journal file as a writer, a kill and a failing disk may leave it. The input says what stands in it: frames, pages left on purpose, bytes of any kind.
// Whatever stands between them, every whole frame is read, in order; where nothing else stands, nothing is counted as damage.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "records/call_record.hpp"
#include "records/journal_file.hpp"
#include "records/segment_file.hpp"
#include "require.hpp"

using namespace ballast;

namespace {

struct File {
  std::string bytes;
  std::vector<std::string> frames;
  std::size_t foreign = 0;

  void frame(std::string_view payload) {
    std::string out(records::kFrameHeader, '\0');
    out += payload;
    records::seal_frame(out, records::FrameType::outcome);
    bytes += out;
    frames.emplace_back(payload);
  }
  void leave_page(std::size_t page) {
    std::string out;
    records::skip_frame(out, bytes.size());
    bytes.resize((bytes.size() / page + 1) * page);
    bytes += out;
  }
};

// An operation a byte: how much of the input it takes in the lower six bits; what it is by the byte's size.
File file_of(std::string_view input) {
  File file;
  while (!input.empty() && file.bytes.size() < (1u << 16)) {
    const auto op = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    const std::string_view taken = input.substr(0, op & 63);
    input.remove_prefix(taken.size());
    if (op < 96) file.frame(taken);
    else if (op < 128) file.leave_page(256);
    else file.bytes += taken, file.foreign += taken.size();
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)records::decode_intent(input);
  (void)records::decode_call(input);
  (void)records::parse_file_name(input);

  static const int fd = ::memfd_create("journal", MFD_CLOEXEC);
  const File file = file_of(input);
  require(::ftruncate(fd, 0) == 0 && records::write_fully(fd, file.bytes, 0, 0));
  records::FrameReader reader(fd, 0);
  std::size_t read = 0;
  for (;;) {
    auto frame = reader.next(file.bytes.size(), true);
    require(frame.has_value());
    if (!*frame) break;
    require((*frame)->end == reader.at() && reader.at() <= file.bytes.size());
    if (read < file.frames.size() && (*frame)->payload == file.frames[read]) ++read;
    else require(file.foreign > 0);      // a whole frame among the foreign bytes
  }
  require(read == file.frames.size());
  if (file.foreign == 0) require(reader.damaged() == 0);
  require(reader.damaged() <= file.bytes.size());
  return 0;
}
