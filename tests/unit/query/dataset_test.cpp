#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../../support/shop.hpp"
#include "schema/schema.hpp"

namespace ballast::query {
namespace {

using test::dataset_from;
using testing::HasSubstr;
using testing::Not;

TEST(QueryDataset, AMistakeIsToldWithItsPlace) {
  struct Row {
    const char *yaml, *says;
  };
  const Row rows[] = {
      {"tables: {a: {columns: {x: {type: integer}}}}", "shop.yaml:1:1: database is required"},
      {"database: mysql://x\ntables: {a: {columns: {x: {}}}}", "shop.yaml:1:11: database must be sqlite:FILE or postgres://…"},
      {"database: sqlite:x\ntables: {}", "needs \"tables\""},
      {"database: sqlite:x\ntables: {a: {columns: {x: {type: int}}}}", "shop.yaml:2:34: tables.a.columns.x.type"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {kind: text}}}}", "tables.a.columns.x.kind is an unknown key"},
      {"database: sqlite:x\ntables: {\"a b\": {columns: {x: {}}}}", "must have a name of letters, digits and underscores"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {aggregates: [sum]}}}}", "makes no sense of a text"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}, rows: {column: y, equals: principal.team}}}", "\"column\" is not a column of this table"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}, rows: {column: x, equals: team}}}", "\"equals\" must be principal.NAME"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}, rows: anyone}}", "tables.a.rows must be {column: …, equals: principal.…}, {of: TABLE}, or all"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}}}\njoins: [a.x = b.y]", "shop.yaml:3:9: joins[0] b.y is not a column of this dataset"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}, y: {}}}}\njoins: [a.x = a.y]", "joins a table with itself: \"as\" must name the other one"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}}, b: {columns: {y: {}, z: {}}}}\njoins: [a.x = b.y, a.x = b.z]", "is the second way between these two tables"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}, rows: {of: b}}, b: {columns: {y: {}}}}", "must be a table, or a role, that a declared join"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}, rows: {of: b}}, b: {columns: {y: {}}, rows: {of: back}}}\njoins: [a.x = b.y, {on: b.y = a.x, as: back}]", "leads back to this table"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}}}\nderived: {d: {is: {sum: a.x}}}", "derived.d.is sum is a text; only numbers can be summed"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}}}\nas_of: yesterday", "as_of must be a time like 2026-11-21"},
      {"database: sqlite:x\ntables: {a: {columns: {x: {}}}}\nlimits: {rows: 0}", "limits.rows"},
  };
  for (const auto& row : rows) {
    const auto read = dataset_from(row.yaml);
    ASSERT_FALSE(read) << row.yaml;
    EXPECT_THAT(read.error().message, HasSubstr(row.says));
  }
}

TEST(QueryDataset, AnOpenTableBesideAFilteredOneIsWarnedOf) {
  // "orders" is filtered; every other table says what the row says.
  const auto warnings = [](std::string_view rows, std::string_view joins) {
    const auto read = dataset_from(fmt::format("database: sqlite:x\ntables:\n  orders: {{columns: {{id: {{type: integer}}, owner: {{}}}}, rows: {{column: owner, equals: principal.user}}}}\n"
                                               "  notes: {{columns: {{id: {{type: integer}}, order: {{type: integer}}}}{}}}\njoins: [{}]\n", rows, joins));
    return read ? read->warnings() : std::vector{describe(read.error())};
  };
  const auto says = [](const char* there, const char* advice) {
    return testing::ElementsAre(testing::AllOf(HasSubstr("dataset shop: table notes has no row filter"), HasSubstr(fmt::format("joined to {},", there)), HasSubstr(advice), HasSubstr("rows: all")));
  };
  constexpr const char* kOwn = "rows: {column: …, equals: principal.…}";
  EXPECT_THAT(warnings("", "notes.order = orders.id"), says("orders", "rows: {of: orders}"));
  EXPECT_THAT(warnings("", "{on: notes.order = orders.id, as: about}"), says("about", "rows: {of: about}"));
  EXPECT_THAT(warnings("", "{on: orders.id = notes.order, cardinality: one_to_one}"), says("orders", kOwn));
  EXPECT_THAT(warnings("", "{on: notes.order = orders.id, cardinality: many_to_many}"), says("orders", kOwn));
  EXPECT_THAT(warnings("", "notes.order = orders.id, {on: notes.id = orders.id, as: twice}"), testing::SizeIs(1)) << "once for a table";
  EXPECT_THAT(warnings("", "orders.id = notes.id"), testing::IsEmpty()) << "what many orders point to is nobody's own";
  EXPECT_THAT(warnings(", rows: {of: orders}", "notes.order = orders.id"), testing::IsEmpty());
  EXPECT_THAT(warnings(", rows: all", "notes.order = orders.id"), testing::IsEmpty());
  EXPECT_THAT(warnings("", ""), testing::IsEmpty());
  EXPECT_THAT(test::shop().warnings(), testing::IsEmpty());
}

TEST(QueryDataset, TheGlossaryNamesWhatMayBeAskedAndNothingElse) {
  auto dataset = dataset_from(test::kShop, "postgres://reader:hunter22@db/shop").value();
  const std::string text = dataset.describe();
  EXPECT_THAT(text, HasSubstr("- city (text): where they live; also called town; values: \"PAR\" = Paris, \"ROM\" = Rome\n"));
  EXPECT_THAT(text, HasSubstr("- name (text, shown masked, not to be filtered or ordered by)\n"));
  EXPECT_THAT(text, HasSubstr("- each orders has one helped_by (a row of customers)\n"));
  EXPECT_THAT(text, HasSubstr("- margin: what is earned\n"));
  const std::string schema = to_json(dataset.intent_schema());
  for (const char* never : {"secret_note", "team", "cost", "hunter22", "customer_id", "a key for tests"}) {
    EXPECT_THAT(text, Not(HasSubstr(never)));
    EXPECT_THAT(schema, Not(HasSubstr(never)));
  }
}

TEST(QueryDataset, TheSchemaHoldsAModelToTheLanguage) {
  const auto schema = schema::Schema::compile(test::shop().intent_schema()).value();
  for (const char* good : {R"({"unanswerable":"nothing about weather"})", R"({"from":"orders","measures":[{"count":"*"}]})",
                           R"({"from":"lines","dimensions":["helped_by.city",{"truncate":"month","of":"orders.day","as":"month"}],"measures":["margin"],"limit":3})"})
    EXPECT_TRUE(schema.valid(test::doc(good))) << good;
  for (const char* bad : {R"({"from":"wages","measures":[{"count":"*"}]})", R"({"sql":"SELECT 1"})", R"({"from":"orders","dimensions":["customers.secret_note"]})",
                          R"({"from":"orders","dimensions":["orders.day"],"where":{"field":"orders.day","op":"; --","value":"x"}})", R"({"from":"orders","limit":"1; DROP TABLE x"})"})
    EXPECT_FALSE(schema.valid(test::doc(bad))) << bad;
}

}  // namespace
}  // namespace ballast::query
