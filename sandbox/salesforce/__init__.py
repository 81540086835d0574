"""A simulated Salesforce org: OAuth, REST, SOQL and a control surface, over real HTTP."""
