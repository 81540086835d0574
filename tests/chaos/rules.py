"""The rules that chaos is played with: everything a person does leaves a text of its own somewhere.

`Description` holds a token that only people write, a fresh one with each edit; `SuppliedCompany` is written by the
mirror rule alone, so that the order of its writes can be read from Salesforce's own journal.
"""

TOKEN = "Description"
MIRROR = "SuppliedCompany"
URL = "PagerDuty_Incident_URL__c"
PHONE_SERVICE = "Support P2"
PAGE_SERVICE = "Support P1"
TOLD = (
    "acknowledge",
    "unacknowledge",
    "resolve",
    "reopen",
    "priority_change",
    "urgency_change",
)
WORKFLOW, WORKFLOW_ID = "Customer comms", "PWCOMMS"
HELPER = "ben@acme.example"
PRIORITIES = {"Breakdown": "P1", "Performance": "P2"}

PAGING = f"""\
version: 1
name: Paging
enabled: true
rules:
  - name: Page
    object: Case
    run_on: salesforce
    when: {{field: Case.Priority, operation: changed_to, value: High}}
    actions:
      - create_incident:
          service: {PAGE_SERVICE}
          title: "{{{{ record.Subject }}}}"
          urgency: high
      - update_record:
          fields: {{{URL}: "{{{{ links.incident_url }}}}"}}
      - add_note: {{content: "Paged at {{{{ record.{TOKEN} }}}}"}}
  - name: Edits
    object: Case
    run_on: salesforce
    when: {{field: Case.{TOKEN}, operation: changed}}
    actions:
      - add_note: {{content: "Edit {{{{ record.{TOKEN} }}}}"}}
  - name: Working
    object: Case
    run_on: salesforce
    when: {{field: Case.Status, operation: changed_to, value: Working}}
    actions:
      - acknowledge_incident: {{}}
  - name: Closed
    object: Case
    run_on: salesforce
    when: {{field: Case.Status, operation: changed_to, value: Closed}}
    actions:
      - resolve_incident: {{resolution: "Closed at {{{{ record.{TOKEN} }}}}"}}
  - name: Breakdown
    object: Case
    run_on: salesforce
    when: {{field: Case.Reason, operation: changed_to, value: Breakdown}}
    actions:
      - set_priority: {{priority: P1}}
  - name: Performance
    object: Case
    run_on: salesforce
    when: {{field: Case.Reason, operation: changed_to, value: Performance}}
    actions:
      - set_priority: {{priority: P2}}
  - name: Escalated
    object: Case
    run_on: salesforce
    when: {{field: Case.Status, operation: changed_to, value: Escalated}}
    actions:
      - run_incident_workflow: {{workflow: {WORKFLOW}}}
  - name: Told
    object: Case
    run_on: salesforce
    when: {{field: Case.Status, operation: changed_to, value: Escalated}}
    actions:
      - publish_status_update: {{message: "Escalated at {{{{ record.{TOKEN} }}}}"}}
  - name: Help
    object: Case
    run_on: salesforce
    when: {{field: Case.Status, operation: changed_to, value: Escalated}}
    actions:
      - add_responders: {{users: [{HELPER}], message: "Escalated at {{{{ record.{TOKEN} }}}}"}}
"""

MIRRORING = f"""\
version: 1
name: Mirroring
enabled: true
rules:
  - name: Phone
    object: Case
    run_on: pagerduty
    when:
      all:
        - {{field: event.type, operation: equals, value: trigger}}
        - {{field: incident.service.name, operation: equals, value: {PHONE_SERVICE}}}
    actions:
      - create_record:
          fields:
            Subject: "{{{{ incident.title }}}}"
            Origin: Phone
            Priority: Low
      - post_comment: {{body: "Opened for {{{{ incident.title }}}}"}}
  - name: Story
    object: Case
    run_on: pagerduty
    when: {{field: event.type, operation: in, value: [{", ".join(TOLD)}]}}
    actions:
      - update_record:
          fields: {{{MIRROR}: "{{{{ event.type }}}} by {{{{ event.agent }}}} at {{{{ event.occurred_at }}}}"}}
      - post_comment: {{body: "{{{{ event.type }}}} by {{{{ event.agent }}}} at {{{{ event.occurred_at }}}}"}}
"""

INTEGRATION = """\
name: default
comments: {salesforce_to_pagerduty: true, pagerduty_to_salesforce: internal}
limits:
  incidents_per_rule: {count: 0, minutes: 1}
  incidents: {count: 0, minutes: 1}
  actions_per_pair: {count: 0, minutes: 1}
"""
