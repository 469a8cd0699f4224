#include "app/start_anew.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace ballast::app {

std::string start_anew() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string line{std::istreambuf_iterator<char>(in), {}};
  in.close();                                            // it would stay open in the new program
  std::vector<char*> arguments;
  for (std::size_t at = 0; at < line.size(); at = line.find('\0', at) + 1) {
    arguments.push_back(line.data() + at);
    if (line.find('\0', at) == std::string::npos) break;
  }
  if (arguments.empty()) return "/proc does not tell how this process was started";
  arguments.push_back(nullptr);
  // By its own name, for lists of processes; a file that was replaced meanwhile is still the one that runs.
  std::error_code error;
  const std::string own = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (!error && !own.ends_with(" (deleted)")) ::execve(own.c_str(), arguments.data(), environ);
  ::execve("/proc/self/exe", arguments.data(), environ);
  return std::strerror(errno);
}

}  // namespace ballast::app
