// A compressed file of shared test data as text; empty when it cannot be read.
#pragma once
#include <cstdio>
#include <string>

namespace ballast::test {

inline std::string unzipped(const std::string& path) {
  std::string out;
  FILE* pipe = ::popen(("gzip -dc '" + path + "'").c_str(), "r");
  if (!pipe) return out;
  char buffer[65536];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  ::pclose(pipe);
  return out;
}

}  // namespace ballast::test
