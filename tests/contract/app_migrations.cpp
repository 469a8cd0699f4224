// Forward only: a version and the one after it run side by side on one database, so what a migration does must be nothing that the version before stumbles over.
// Every migration since the newest folder in tests/golden/folders only adds: tables, columns that whoever does not know them need not fill, indexes, rows of what
// it made itself. The listed exceptions have their reasons; a new one needs one as good, or two releases: first stop using it, then drop it.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "cluster/members.hpp"
#include "records/migrations.hpp"
#include "work/job_rows.hpp"

namespace ballast::app {
namespace {

// Of each room the last migration that the folder of 2026-11-21 had.
const std::map<std::string, int, std::less<>> kReleased{{"records", 7}, {"work", 9}};

struct Accepted { std::string_view module; int version; std::string_view statement, why; };
constexpr Accepted kAccepted[] = {
    {"work", 13, "DROP INDEX jobs_live", "an index is a way to rows, not a promise: who looked by it finds them by its twin, which this makes first"},
    {"work", 13, "DROP INDEX jobs_by_tenant", "likewise"},
    {"records", 13, "INSERT INTO rollup_dirty", "a list of what is to be made anew, which every version with rollups works off"},
};

std::vector<std::string> statements(std::string_view sql) {
  std::vector<std::string> out;
  std::string one;
  for (std::size_t at = 0; at < sql.size();) {
    const std::size_t end = std::min(sql.find('\n', at), sql.size());
    one += std::string(sql.substr(at, end - at)) + ' ';
    at = end + 1;
    if (!std::regex_search(one, std::regex(";\\s*$")) && at < sql.size()) continue;
    one = std::regex_replace(std::regex_replace(one, std::regex("\\s+"), " "), std::regex("^ | ?;? ?$"), "");
    if (!one.empty()) out.push_back(one);
    one.clear();
  }
  return out;
}

// What of `sql` an older version beside this one might stumble over.
std::vector<std::string> harms(std::string_view sql) {
  static const std::regex table("^CREATE TABLE (\\w+) "), index("^CREATE (UNIQUE )?INDEX \\w+ ON (\\w+) "), column("^ALTER TABLE \\w+ ADD COLUMN \\w+ (.*)$"), rows("^INSERT INTO (\\w+) ");
  static const std::regex unfilled("NOT NULL(?!.*DEFAULT)|UNIQUE|CHECK|REFERENCES|GENERATED");
  std::set<std::string> own;
  std::vector<std::string> out;
  for (const std::string& s : statements(sql)) {
    std::smatch m;
    bool adds = false;
    if (std::regex_search(s, m, table)) adds = own.insert(m[1].str()).second;
    else if (std::regex_search(s, m, index)) adds = !m[1].matched || own.contains(m[2].str());
    else if (std::regex_search(s, m, column)) adds = !std::regex_search(m[1].str(), unfilled);
    else if (std::regex_search(s, m, rows)) adds = own.contains(m[1].str());
    if (!adds) out.push_back(s);
  }
  return out;
}

std::vector<store::Migration> all() {
  std::vector<store::Migration> out;
  for (const auto of : {records::migrations(), work::migrations(), cluster::migrations()}) out.insert(out.end(), of.begin(), of.end());
  return out;
}

TEST(Migrations, SinceTheLastReleaseTheyOnlyAdd) {
  std::set<std::string_view> met;
  std::size_t looked = 0;
  for (const store::Migration& m : all()) {
    const auto released = kReleased.find(m.module);
    if (released != kReleased.end() && m.version <= released->second) continue;
    ++looked;
    EXPECT_LT(m.oldest_beside, m.version) << m.module << ' ' << m.version << " leaves no room for the version before";
    EXPECT_FALSE(m.move) << m.module << ' ' << m.version << " moves what an older version still writes";
    for (const std::string& s : harms(m.sql)) {
      const auto known = std::ranges::find_if(kAccepted, [&](const Accepted& a) { return a.module == m.module && a.version == m.version && s.starts_with(a.statement); });
      if (known != std::end(kAccepted)) met.insert(known->statement);
      else ADD_FAILURE() << m.module << ' ' << m.version << " (" << m.name << "): " << s.substr(0, 120) << "\nA version beside this one would stumble over it";
    }
  }
  EXPECT_GE(looked, 15u);
  EXPECT_EQ(met.size(), std::size(kAccepted)) << "an exception that is gone is to be unlisted";
}

TEST(Migrations, WhatAnOlderVersionStumblesOverIsNamed) {
  for (const char* fine : {"CREATE TABLE t (\n  a {int} NOT NULL PRIMARY KEY, b {text} NOT NULL UNIQUE) {table};\nCREATE UNIQUE INDEX t_by_b ON t (b);\nINSERT INTO t (a, b) VALUES (1, '');",
                           "CREATE INDEX jobs_by_x ON jobs (queue) WHERE live = 1;", "ALTER TABLE jobs ADD COLUMN x {int} NOT NULL DEFAULT 0;", "ALTER TABLE jobs ADD COLUMN x {blob};", "\n"})
    EXPECT_TRUE(harms(fine).empty()) << fine;
  for (const char* bad : {"DROP TABLE jobs;", "ALTER TABLE jobs DROP COLUMN spec;", "ALTER TABLE jobs RENAME COLUMN spec TO said;", "ALTER TABLE jobs ADD COLUMN x {int} NOT NULL;",
                          "ALTER TABLE jobs ADD COLUMN x {int} DEFAULT 0 CHECK (x < 5);", "CREATE UNIQUE INDEX jobs_once ON jobs (name);", "UPDATE jobs SET state = 2;", "DELETE FROM jobs;",
                          "INSERT INTO jobs (id) VALUES (1);", "DROP INDEX jobs_dead;", "CREATE TRIGGER t AFTER INSERT ON jobs EXECUTE f();", "TRUNCATE jobs;"})
    EXPECT_EQ(harms(bad).size(), 1u) << bad;
  EXPECT_EQ(harms("CREATE INDEX a ON jobs (id);\nDROP TABLE jobs;\nUPDATE homes SET owner = 0;\n").size(), 2u);
}

}  // namespace
}  // namespace ballast::app
